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
import { drawUpdate, hostUniforms, type LaneUniforms, type Prepared } from "./update.ts";

/** Draws a whole step. Nothing has changed where it throws before the first draw. */
export function drawStep(drawing: Drawing, items: readonly Item[], step: DrawnStep): void {
  const { canvas, ledger } = drawing;
  const { request, rescale, lossScale, clipGrad } = step;
  const temporary: tf.TensorInfo[] = [];
  const source = (tensor: tf.Tensor): Source => canvas.source(tensor, temporary);
  const lanes = lanesOf(items);
  const measures = request.finite || request.normType !== undefined;
  const countsOnDevice = request.finite || !lanes.every(isKnown);
  const knowledge: Knowledge = countsOnDevice ? "but the steps" : measures ? "but the factor" : "all";

  // First all that may run programs of tfjs, and all linking: from the first draw on nothing may fail.
  const accumulators = new Map(items.map((item) => [item, accumulatorOf(item)] as const));
  const given = measures && isRareNorm(request) ? givenCheck(items, request) : undefined;
  const prepared = items
    .filter(({ parameter }) => parameter.length > 0)
    .map((item): Prepared => {
      const { parameter, program, slots } = item;
      const read = [
        parameter.value,
        accumulators.get(item) as tf.Tensor,
        ...slots.map(({ tensor }) => tensor),
      ];
      const inputs = read.map(source);
      const draws = drawing
        .programs(program)
        .update(inputs, canvas.widthOf(parameter.shape), knowledge, request.finite);
      return { item, inputs, draws };
    });
  const decision: DeviceDecision | undefined =
    knowledge === "all"
      ? undefined
      : prepareDecision(drawing, { step, lanes, given, countsOnDevice, source });
  const checks = measures && given === undefined ? checkPrograms(canvas) : undefined;

  canvas.begin();
  const folded =
    checks &&
    measure(
      canvas,
      checks,
      prepared.map(({ item: { parameter }, inputs }) => ({
        source: inputs[1] as Source,
        shape: parameter.shape,
        size: parameter.length,
      })),
      request.ignoreNonFinite,
    );
  const record = decision && decide(drawing, decision, folded);
  const known = typeof lossScale === "number" || lossScale === undefined;
  const factor = known ? rescale / (lossScale ?? 1) : rescale;
  const uniforms = new Map<Item, LaneUniforms>();
  for (const [index, lane] of lanes.entries()) {
    const host = hostUniforms(lane, drawing.programs(lane.program), knowledge, { factor, clipGrad });
    const shared = { host, row: index + 1 };
    for (const item of lane.items) uniforms.set(item, shared);
  }
  const read = record && canvas.target(record);
  for (const one of byProgram(prepared))
    drawUpdate(canvas, one, uniforms.get(one.item) as LaneUniforms, read);
  canvas.end();
  for (const info of temporary) canvas.dispose(info);
  if (folded !== undefined) canvas.dispose(folded);

  ledger.take(items);
  ledger.asked += 1;
  if (!measures) ledger.gradNorm = undefined;
  if (decision !== undefined && record !== undefined) decision.settle(canvas.tensor(record));
  if (!countsOnDevice) for (const lane of lanes) countOnHost(lane);
  ledger.release();
}

function accumulatorOf({ parameter }: Item): tf.Tensor {
  return (parameter.accumulator as TensorCell).tensor;
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
