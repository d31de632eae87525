import { type CheckRequest, memo } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { checkAccumulators } from "../ops/check.ts";
import { withConstants } from "../ops/constants.ts";
import type { TensorCell } from "../ops/tensor-cell.ts";
import { checkPrograms, measure } from "./check.ts";
import { decide, type DeviceDecision, prepareDecision } from "./decide.ts";
import type { Drawing, DrawnStep } from "./drawing.ts";
import { countOnHost, isKnown, type Item, lanesOf } from "./lanes.ts";
import type { Source } from "./layout.ts";
import type { Knowledge } from "./programs.ts";
import type { Releases } from "./surface.ts";
import { drawUpdate, hostUniforms, type LaneUniforms, type Prepared } from "./update.ts";

/**
 * Draws a whole step. Nothing has changed where it throws before the first draw.
 *
 * @param counts `false` where steps and scalar slots stay: of an evaluation point
 */
export function drawStep(drawing: Drawing, items: readonly Item[], step: DrawnStep, counts = true): void {
  const { canvas, ledger } = drawing;
  const { request, rescale, lossScale, clipGrad } = step;
  const { store } = canvas;
  const releases: Releases = [];
  const lanes = lanesOf(items);
  const measures = request.finite || request.normType !== undefined;
  const countsOnDevice = request.finite || !lanes.every(isKnown);
  const knowledge: Knowledge = countsOnDevice ? "but the steps" : measures ? "but the factor" : "all";

  // First all that may run programs of tfjs, and all linking: from the first draw on nothing may fail.
  const given = measures && isRareNorm(request) ? givenCheck(items, request) : undefined;
  const prepared = items
    .filter(({ parameter }) => parameter.length > 0)
    .map((item): Prepared => {
      const { parameter, program, slots } = item;
      const inputs = [
        store.parameter(item, releases),
        store.source(accumulatorOf(item), releases),
        ...slots.map((slot) => store.source(slot, releases)),
      ];
      const [width] = canvas.sizeOf(parameter.value.shape);
      const draws = drawing.programs(program).update(inputs, width, knowledge, request.finite);
      return { item, inputs, draws };
    });
  const decision: DeviceDecision | undefined =
    knowledge === "all"
      ? undefined
      : prepareDecision(drawing, { step, lanes, given, countsOnDevice, releases });
  const measured = prepared.map(({ item: { parameter }, inputs }) => ({
    source: inputs[1] as Source,
    shape: parameter.value.shape,
    size: parameter.length,
  }));
  const layouts = new Set(measured.map(({ source }) => source.layout));
  const checks = measures && given === undefined ? checkPrograms(canvas, layouts) : undefined;

  canvas.begin();
  const folded = checks && measure(canvas, checks, measured, request.ignoreNonFinite);
  const record = decision && decide(drawing, decision, folded);
  const known = typeof lossScale === "number" || lossScale === undefined;
  const factor = known ? rescale / (lossScale ?? 1) : rescale;
  const uniforms = new Map<Item, LaneUniforms>();
  for (const [index, lane] of lanes.entries()) {
    const host = hostUniforms(lane, drawing.programs(lane.program), knowledge, { factor, clipGrad });
    const shared = { host, row: index + 1 };
    for (const item of lane.items) uniforms.set(item, shared);
  }
  for (const one of byProgram(prepared))
    drawUpdate(canvas, one, uniforms.get(one.item) as LaneUniforms, record);
  canvas.end();
  for (const release of releases) release();
  if (folded !== undefined) store.free(folded);
  if (!counts) {
    if (record !== undefined) store.free(record);
    return;
  }

  ledger.take(items);
  ledger.asked += 1;
  if (!measures) ledger.gradNorm = undefined;
  if (decision !== undefined && record !== undefined) decision.settle(record);
  if (!countsOnDevice) for (const lane of lanes) countOnHost(lane);
  ledger.release();
}

function accumulatorOf({ parameter }: Item): TensorCell {
  return parameter.accumulator as TensorCell;
}

/** Norms that the draws of the check do not measure: those of p other than 2 and ∞. */
function isRareNorm({ normType }: CheckRequest): boolean {
  return normType !== undefined && normType !== 2 && normType !== Number.POSITIVE_INFINITY;
}

/** Scalars: the two factors of the norm, and whether all is finite. */
function givenCheck(items: readonly Item[], request: CheckRequest): readonly tf.Tensor[] {
  const { norm, finite } = withConstants((constant) => checkAccumulators(items, request, constant));
  return [...tf.unstack(norm as tf.Tensor), finite ?? tf.scalar(1)];
}

/** The same program one after the other: changing it costs more than the order. */
function byProgram(prepared: readonly Prepared[]): readonly Prepared[] {
  const groups = new Map<object, Prepared[]>();
  for (const one of prepared) memo(groups, one.draws, () => []).push(one);
  return [...groups.values()].flat();
}
