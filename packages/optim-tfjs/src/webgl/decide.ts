import type { LossScaleSettings } from "@mm/optim-core";
import type * as tf from "@tensorflow/tfjs-core";
import { floorOnGpu, TfjsLossScaler } from "../ops/loss-scaler.ts";
import { SharedScalar, type StepScalar } from "../scalar.ts";
import type { Linked, Releases } from "./surface.ts";
import { type DecisionKind, decisionSamplers, decisionSource, headElements } from "./decision.ts";
import type { Drawing, DrawnStep } from "./drawing.ts";
import { type Lane, registersOf } from "./lanes.ts";
import type { Source, Target } from "./layout.ts";
import { RecordedScalar, type Records } from "./records.ts";
import { hostScalar } from "./scalars.ts";
import type { Placed } from "./store.ts";

/** A decision whose programs are linked and whose inputs are textures: it only has to be drawn. */
export interface DeviceDecision {
  readonly kind: DecisionKind;
  readonly draws: readonly DecisionDraw[];
  readonly given: readonly Source[];
  readonly state: Source | undefined;
  readonly scale: Source | undefined;
  readonly given0: readonly [number, number, number, number];
  readonly scaler: readonly [number, number, number, number];
  /** Texels in a row of the record, and its rows. */
  readonly size: readonly [width: number, height: number];
  /** Takes the record that was drawn, and hands out its scalars. */
  settle(record: Target): void;
}

interface DecisionDraw {
  readonly linked: Linked;
  readonly y: number;
  readonly height: number;
  readonly host: Float32Array;
}

export interface DecisionInputs {
  readonly step: DrawnStep;
  readonly lanes: readonly Lane[];
  /** Scalars, where tfjs ops found them: the two factors of the norm, and whether all is finite. */
  readonly given: readonly tf.Tensor[] | undefined;
  readonly countsOnDevice: boolean;
  readonly releases: Releases;
}

export function prepareDecision(drawing: Drawing, inputs: DecisionInputs): DeviceDecision {
  const { canvas, programs } = drawing;
  const { step, lanes, given, countsOnDevice, releases } = inputs;
  const { request, rescale, lossScale, clipGrad } = step;
  const rows = countsOnDevice ? lanes : [];
  const scaler = advancing(request.lossScaler, request.finite);
  const kind: DecisionKind = {
    from:
      given !== undefined ? "given" : request.finite || request.normType !== undefined ? "folded" : "nothing",
    norm:
      request.normType === undefined
        ? undefined
        : request.normType === Number.POSITIVE_INFINITY
          ? "largest"
          : "euclidean",
    clips: request.normType !== undefined && clipGrad !== undefined && clipGrad.type !== "value",
    skips: request.finite,
    orThrow: request.orThrow,
    lossScale: !(lossScale instanceof SharedScalar)
      ? "host"
      : lossScale === scaler?.pending?.scale
        ? "state"
        : "tensor",
    advances: scaler !== undefined,
  };
  const state = countsOnDevice ? stateOf(drawing, inputs, kind, scaler) : undefined;
  const maxNorm = kind.clips && clipGrad !== undefined && clipGrad.type !== "value" ? clipGrad.maxNorm : 0;
  const { growthFactor, backoffFactor, growthInterval, minScale } = scaler?.settings ?? noScaler;
  const lengths = rows.map(({ program }) => programs(program).row.length);
  return {
    kind,
    draws:
      rows.length === 0
        ? [{ linked: headProgram(drawing, kind), y: 0, height: 1, host: new Float32Array(4) }]
        : rows.map((lane, index) => ({
            linked: programs(lane.program).decision(kind),
            y: index === 0 ? 0 : index + 1,
            height: index === 0 ? 2 : 1,
            host: hostOf(drawing, lane),
          })),
    given: (given ?? []).map((tensor) => canvas.source(tensor, releases)),
    state,
    scale: kind.lossScale === "tensor" ? canvas.store.scalar(lossScale as StepScalar, releases) : undefined,
    given0: [typeof lossScale === "number" ? rescale / lossScale : rescale, maxNorm, 0, 0],
    scaler: [growthFactor, backoffFactor, growthInterval, floorOnGpu(minScale)],
    size: [Math.max(2, ...lengths.map((length) => Math.ceil(length / 4))), 1 + rows.length],
    settle: (record) => settle(drawing, inputs, scaler, record),
  };
}

/** Draws it into a new texture. `folded`: what the check measured. */
export function decide({ canvas }: Drawing, decision: DeviceDecision, folded: Target | undefined): Target {
  const [width, height] = decision.size;
  const record = canvas.store.make([2 * height, 2 * width]);
  const { given, state, scale } = decision;
  const inputs = [
    ...(folded === undefined ? given : [folded]),
    ...(state === undefined ? [] : [state]),
    ...(scale === undefined ? [] : [scale]),
  ];
  for (const { linked, y, height: rows, host } of decision.draws) {
    canvas.draw({
      linked,
      inputs,
      outputs: [record],
      region: { y, width, height: rows },
      set(gl, { location }) {
        gl.uniform4fv(location("given0"), decision.given0);
        gl.uniform4fv(location("scaler"), decision.scaler);
        gl.uniform4fv(location("host"), host);
      },
    });
  }
  return record;
}

const noScaler: Pick<LossScaleSettings, "growthFactor" | "backoffFactor" | "growthInterval" | "minScale"> = {
  growthFactor: 1,
  backoffFactor: 1,
  growthInterval: 1,
  minScale: 0,
};

/** The scaler, where the decision can move it on: dynamic, told of nothing since its last update, by exact factors. */
function advancing(lossScaler: unknown, finite: boolean): TfjsLossScaler | undefined {
  if (!finite || !(lossScaler instanceof TfjsLossScaler) || lossScaler.pending === undefined)
    return undefined;
  const { dynamic, growthFactor, backoffFactor } = lossScaler.settings;
  const exact = [growthFactor, backoffFactor].every((factor) => Number.isInteger(Math.log2(factor)));
  return dynamic && exact ? lossScaler : undefined;
}

function headProgram({ canvas }: Drawing, kind: DecisionKind): Linked {
  return canvas.link(decisionSource(kind, undefined), decisionSamplers(kind, false));
}

function hostOf({ programs }: Drawing, lane: Lane): Float32Array {
  const { host } = programs(lane.program).row.scalars;
  const registers = registersOf(lane);
  const values = new Float32Array(4 * Math.max(1, Math.ceil(host.length / 4)));
  for (const [index, scalar] of host.entries()) values[index] = hostScalar(scalar, registers);
  return values;
}

/** The record of the last step, as one texture: that very record where nothing has come between. */
function stateOf(
  drawing: Drawing,
  { lanes, releases }: DecisionInputs,
  kind: DecisionKind,
  scaler: TfjsLossScaler | undefined,
): Source {
  const { skipped, failed } = drawing.ledger;
  const { pending } = scaler ?? {};
  const placed: Placed[] = [
    ...(kind.skips ? [{ row: 0, element: headElements.skipped, scalar: skipped }] : []),
    ...(kind.orThrow ? [{ row: 0, element: headElements.failed, scalar: failed }] : []),
    ...(pending === undefined
      ? []
      : [
          { row: 0, element: headElements.scale, scalar: pending.scale },
          { row: 0, element: headElements.growthTracker, scalar: pending.growthTracker },
        ]),
    ...lanes.flatMap(({ count, scalarSlots }, lane) =>
      [count, ...scalarSlots].map((scalar, element) => ({ row: lane + 1, element, scalar })),
    ),
  ];
  return (
    lastRecord(placed)?.source(releases) ?? drawing.canvas.store.gather(placed, lanes.length + 1, releases)
  );
}

function lastRecord(placed: readonly Placed[]): Records | undefined {
  const [first] = placed;
  if (!(first?.scalar instanceof RecordedScalar)) return undefined;
  const { records } = first.scalar;
  const stands = placed.every(
    ({ row, element, scalar }) =>
      scalar instanceof RecordedScalar &&
      scalar.records === records &&
      scalar.row === row &&
      scalar.element === element,
  );
  return stands ? records : undefined;
}

/** Hands out the scalars of a record to all that they belong to. */
function settle(
  { canvas, ledger }: Drawing,
  { step, lanes, countsOnDevice }: DecisionInputs,
  scaler: TfjsLossScaler | undefined,
  record: Target,
): void {
  const records = canvas.store.records(record);
  const recorded = (row: number, element: number): RecordedScalar =>
    new RecordedScalar(records, row, element);
  const own = (row: number, element: number): StepScalar => ledger.adopt(recorded(row, element));
  const { request } = step;
  ledger.gradNorm = request.normType === undefined ? undefined : own(0, headElements.gradNorm);
  if (request.finite) {
    step.finite = own(0, headElements.taken);
    ledger.finite = step.finite;
    ledger.skipped = own(0, headElements.skipped);
    if (request.orThrow) ledger.failed = own(0, headElements.failed);
    scaler?.prepare(step.finite, {
      scale: recorded(0, headElements.scale),
      growthTracker: recorded(0, headElements.growthTracker),
    });
  }
  if (!countsOnDevice) return;
  for (const [index, lane] of lanes.entries()) {
    const count = own(index + 1, 0);
    const slots = lane.scalarSlots.map((_, slot) => own(index + 1, slot + 1));
    for (const { parameter } of lane.items) {
      parameter.step = count;
      for (const [slot, name] of lane.program.scalarSlots.entries())
        parameter.scalarSlots.set(name, slots[slot] as StepScalar);
    }
  }
}
