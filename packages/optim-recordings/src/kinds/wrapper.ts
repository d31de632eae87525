import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import { compareBaseSettings, compareState } from "../compare-state.ts";
import type { GoldenGradients, WrapperCase, WrapperStep } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";
import { clipGradOf, lossScaleOf } from "../torch.ts";
import { compareScaler } from "./scaler.ts";

/**
 * MMEngine's `OptimWrapper` and `AmpOptimWrapper`, one row per `update_params`. A second wrapper does the same by hand, with `backward`,
 * `step` and `zeroGrad`: gradients can be read there before the step, and it has to arrive at the same numbers.
 */
export async function runWrapper<P, Loss extends LossClosure, LossValue>(
  recorded: WrapperCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const whole = start(recorded, bench);
  const byHand = start(recorded, bench);
  for (const [index, row] of recorded.steps.entries()) {
    const at = `steps[${index}]`;
    const { wrapper } = whole;
    compareCounts(checks, at, wrapper, row);
    if (row.scaleBefore !== undefined)
      checks.exact32(`${at}.scaleBefore`, await scaleOf(wrapper), row.scaleBefore);
    const before = (await wrapper.readMetrics()).skipped;
    let caught: unknown;
    try {
      const { updated } = wrapper.updateParams(whole.subject.loss(row.grads));
      await wrapper.readMetrics();
      if (row.updated !== undefined) checks.exact(`${at}.updated`, updated, row.updated);
    } catch (error) {
      caught = error;
    }
    if (row.error) checks.refusal(`${at}.error`, caught, row.error.type);
    else if (caught !== undefined) checks.unexpected(`${at}.error`, caught);
    else {
      await updateByHand(checks, at, byHand, row);
      await compareOutcome(checks, at, wrapper, row, before);
    }
  }
  await compareEnd(checks, "finalStateDict", whole, recorded);
  await compareEnd(checks, "finalStateDict (by hand)", byHand, recorded);
  return checks;
}

interface Running<P, Loss extends LossClosure, LossValue> {
  readonly subject: RecordedSubject<P, Loss, LossValue>;
  readonly wrapper: OptimWrapper<Loss, LossValue>;
}

function start<P, Loss extends LossClosure, LossValue>(
  { optimizer, groups, init, accumulativeCounts, clipGrad, lossScale, initializeCountStatus }: WrapperCase,
  bench: Bench<P, Loss, LossValue>,
): Running<P, Loss, LossValue> {
  const subject = new RecordedSubject(bench, optimizer, groups, init);
  const wrapper = createOptimWrapper(subject.optimizer, {
    accumulativeCounts,
    clipGrad: clipGradOf(clipGrad),
    lossScale: lossScaleOf(lossScale),
  });
  if (initializeCountStatus) wrapper.initializeCountStatus(initializeCountStatus);
  return { subject, wrapper };
}

function compareCounts<Loss, LossValue>(
  checks: Checks,
  at: string,
  wrapper: OptimWrapper<Loss, LossValue>,
  { shouldSyncBefore, innerCountBefore, lossFactor }: WrapperStep,
): void {
  if (shouldSyncBefore !== undefined)
    checks.exact(`${at}.shouldSyncBefore`, wrapper.shouldSync(), shouldSyncBefore);
  if (innerCountBefore !== undefined)
    checks.exact(`${at}.innerCountBefore`, wrapper.innerCount, innerCountBefore);
  if (lossFactor !== undefined) checks.exact(`${at}.lossFactor`, wrapper.lossFactor(), lossFactor);
}

async function updateByHand<P, Loss extends LossClosure, LossValue>(
  checks: Checks,
  at: string,
  { subject, wrapper }: Running<P, Loss, LossValue>,
  { grads, accumulatedGrads, updated }: WrapperStep,
): Promise<void> {
  wrapper.backward(subject.loss(grads), { scale: 1 / wrapper.lossFactor() });
  checks.exact(`${at}.updated (by hand)`, wrapper.shouldUpdate(), updated);
  if (!wrapper.shouldUpdate()) return;
  if (accumulatedGrads) await compareGradients(checks, `${at}.accumulatedGrads`, wrapper, accumulatedGrads);
  wrapper.step();
  wrapper.zeroGrad();
}

async function compareGradients<Loss, LossValue>(
  checks: Checks,
  at: string,
  { optimizer }: OptimWrapper<Loss, LossValue>,
  recorded: GoldenGradients,
): Promise<void> {
  if (!optimizer.capabilities.transfer) return;
  const gradients = await optimizer.readGradients();
  for (const [name, data] of Object.entries(recorded)) {
    // The loss scale is in them, so they may be large: compared like state.
    if (data === null) checks.exact(`${at}.${name}`, gradients[name], undefined);
    else checks.slot(`${at}.${name}`, gradients[name], data);
  }
}

async function compareOutcome<Loss, LossValue>(
  checks: Checks,
  at: string,
  wrapper: OptimWrapper<Loss, LossValue>,
  { innerCountAfter, updated, logged, after = {}, scaleAfter, growthTrackerAfter, skipped }: WrapperStep,
  skippedBefore: number,
): Promise<void> {
  const metrics = await wrapper.readMetrics();
  if (innerCountAfter !== undefined)
    checks.exact(`${at}.innerCountAfter`, wrapper.innerCount, innerCountAfter);
  const norm = logged?.["train/grad_norm"];
  if (norm !== undefined) checks.parameter(`${at}.logged`, numbers(metrics.gradNorm), [norm]);
  else if (updated === true) checks.exact(`${at}.logged`, metrics.gradNorm, undefined);
  if (scaleAfter !== undefined) checks.exact32(`${at}.scaleAfter`, await scaleOf(wrapper), scaleAfter);
  if (skipped !== undefined) checks.exact(`${at}.skipped`, metrics.skipped > skippedBefore, skipped);
  if (growthTrackerAfter !== undefined) {
    const { lossScaler } = await wrapper.stateDict();
    checks.exact(`${at}.growthTrackerAfter`, lossScaler?.growthTracker, growthTrackerAfter);
  }
  const parameters = await wrapper.optimizer.readParameters();
  for (const [name, data] of Object.entries(after))
    checks.parameter(`${at}.after.${name}`, parameters[name], data);
}

async function compareEnd<P, Loss extends LossClosure, LossValue>(
  checks: Checks,
  at: string,
  { subject, wrapper }: Running<P, Loss, LossValue>,
  { finalStateDict, steps }: WrapperCase,
): Promise<void> {
  const { optimizer, lossScaler } = await wrapper.stateDict();
  compareState(checks, at, optimizer, finalStateDict, subject.names);
  compareBaseSettings(checks, at, optimizer.baseParamSettings, finalStateDict.base_param_settings);
  checks.exact(`${at}.loss_scaler`, lossScaler !== undefined, finalStateDict.loss_scaler !== undefined);
  if (lossScaler && finalStateDict.loss_scaler) {
    compareScaler(checks, `${at}.loss_scaler`, lossScaler, finalStateDict.loss_scaler);
  }
  const last = [...steps].reverse().find(({ after }) => after !== undefined)?.after ?? {};
  const parameters = await wrapper.optimizer.readParameters();
  for (const [name, data] of Object.entries(last)) checks.parameter(`${at}: ${name}`, parameters[name], data);
  wrapper.dispose();
  subject.dispose();
}

async function scaleOf<Loss, LossValue>(wrapper: OptimWrapper<Loss, LossValue>): Promise<number> {
  return (await wrapper.readMetrics()).lossScale;
}

function numbers(value: number | undefined): readonly number[] | undefined {
  return value === undefined ? undefined : [Math.fround(value)];
}
