import type { LossScaleSettings } from "@mm/optim-core";
import * as tf from "@tensorflow/tfjs-core";
import { floorOnGpu, TfjsLossScaler } from "../ops/loss-scaler.ts";
import { operand, SharedScalar, type StepScalar } from "../scalar.ts";
import type { Linked } from "./canvas.ts";
import { type DecisionKind, decisionSamplers, decisionSource, headElements } from "./decision.ts";
import type { Drawing, DrawnStep } from "./drawing.ts";
import { type Lane, registersOf } from "./lanes.ts";
import type { Source } from "./layout.ts";
import { placeOf, RecordedScalar, Records } from "./records.ts";
import { hostScalar } from "./scalars.ts";

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
  settle(record: tf.Tensor): void;
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
  readonly source: (tensor: tf.Tensor) => Source;
}

export function prepareDecision(drawing: Drawing, inputs: DecisionInputs): DeviceDecision {
  const { programs } = drawing;
  const { step, lanes, given, countsOnDevice, source } = inputs;
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
  const state = countsOnDevice ? source(stateOf(drawing, inputs, kind, scaler)) : undefined;
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
    given: given === undefined ? [] : given.map(source),
    state,
    scale: kind.lossScale === "tensor" ? source(operand(lossScale as StepScalar) as tf.Tensor) : undefined,
    given0: [typeof lossScale === "number" ? rescale / lossScale : rescale, maxNorm, 0, 0],
    scaler: [growthFactor, backoffFactor, growthInterval, floorOnGpu(minScale)],
    size: [Math.max(2, ...lengths.map((length) => Math.ceil(length / 4))), 1 + rows.length],
    settle: (record) => settle(drawing, inputs, scaler, record),
  };
}

/** Draws it into a new texture. `folded`: what the check measured. */
export function decide(
  { canvas }: Drawing,
  decision: DeviceDecision,
  folded: tf.TensorInfo | undefined,
): tf.TensorInfo {
  const [width, height] = decision.size;
  const record = canvas.output([2 * height, 2 * width]);
  const target = canvas.target(record);
  const { given, state, scale } = decision;
  const inputs = [
    ...(folded === undefined ? given : [canvas.target(folded)]),
    ...(state === undefined ? [] : [state]),
    ...(scale === undefined ? [] : [scale]),
  ];
  for (const { linked, y, height: rows, host } of decision.draws) {
    canvas.draw({
      linked,
      inputs,
      outputs: [target],
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

/** A scalar of the state, and where the decision looks for it. */
interface Placed {
  readonly row: number;
  readonly element: number;
  readonly scalar: StepScalar;
}

/** The record of the last step, as one texture: that very record where nothing has come between. */
function stateOf(
  drawing: Drawing,
  { lanes }: DecisionInputs,
  kind: DecisionKind,
  scaler: TfjsLossScaler | undefined,
): tf.Tensor {
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
  return lastRecord(placed) ?? gathered(placed, lanes.length + 1);
}

function lastRecord(placed: readonly Placed[]): tf.Tensor | undefined {
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
  return stands ? records.tensor : undefined;
}

/** The state put together: an upload where the host has all of it, else tfjs ops. */
function gathered(placed: readonly Placed[], rows: number): tf.Tensor {
  const width = Math.max(2, ...placed.map(({ element }) => Math.floor(element / 4) + 1));
  const values = new Float32Array(4 * rows * width);
  const known = placed.filter(({ scalar }) => typeof scalar === "number");
  const at = ({ row, element }: Placed): number => {
    const [i, j] = placeOf(row, element);
    return i * 2 * width + j;
  };
  for (const one of known) values[at(one)] = one.scalar as number;
  const base = tf.tensor2d(values, [2 * rows, 2 * width]);
  if (known.length === placed.length) return base;
  const onDevice = placed.filter(({ scalar }) => typeof scalar !== "number");
  const indices = tf.tensor1d(onDevice.map(at), "int32");
  const updates = tf.stack(onDevice.map(({ scalar }) => operand(scalar) as tf.Tensor));
  const scattered = tf.scatterND(tf.expandDims(indices, 1), updates, [values.length]);
  return tf.add(base, tf.reshape(scattered, base.shape));
}

/** Hands out the scalars of a record to all that they belong to. */
function settle(
  { ledger }: Drawing,
  { step, lanes, countsOnDevice }: DecisionInputs,
  scaler: TfjsLossScaler | undefined,
  tensor: tf.Tensor,
): void {
  const records = new Records(tensor);
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
