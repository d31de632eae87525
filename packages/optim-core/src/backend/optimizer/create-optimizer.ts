import { checkMetricsOptions } from "../../arguments.ts";
import { isOptimError, refuse } from "../../errors.ts";
import type { BaseHyperparameters } from "../../hyperparameters.ts";
import { resolveLossScale } from "../../loss-scaler.ts";
import type {
  AddedParamGroup,
  Optimizer,
  ParametersInput,
  ParamGroup,
  ParamGroupInput,
  ParamGroups,
} from "../../optimizer.ts";
import { requireRule, type UpdateRule } from "../../rule/define.ts";
import type { SlotOptions } from "../../options.ts";
import type { Engine } from "../engine.ts";
import { checkSlotStorage } from "../program/slot-storage.ts";
import { EvaluationPoint } from "./evaluation-point.ts";
import { Lifecycle } from "./lifecycle.ts";
import { prepareOptimizerState } from "./load.ts";
import { ParameterSet } from "./parameter-set.ts";
import type { OptimizerParts } from "./parts.ts";
import { PendingGradients } from "./pending-gradients.ts";
import { readGradNorms } from "./read-grad-norms.ts";
import { readSlots } from "./read-slots.ts";
import { saveOptimizerState } from "./save.ts";
import { SkipWatch } from "./skip-watch.ts";
import { backward, step } from "./train.ts";
import {
  readGradients,
  readGradientsSync,
  readParameters,
  writeGradients,
  writeParameters,
} from "./transfer.ts";

/**
 * An {@link Optimizer} from an engine and a rule: names, groups, accumulation, the order of the stages, state. `tfjsOptimizer` and
 * `wasmOptimizer` are made with it.
 *
 * @param who the function that the caller called, for messages: `"wasmOptimizer"`
 * @param rule followed by every group that names no other. `R` is a union of what all of them have, see {@link GroupsInput}
 * @throws OptimError `invalid-rule`, `invalid-parameter`, `empty-parameters`, `duplicate-parameter`, `unknown-option`, `invalid-option`,
 * `invalid-hyperparameter`, `arena-full`, `unsupported`, `unknown-name`
 */
export function createOptimizer<
  Loss,
  LossValue,
  P,
  V,
  G,
  S,
  H extends BaseHyperparameters,
  R extends BaseHyperparameters = H,
>(
  who: string,
  engine: Engine<Loss, LossValue, P, V, G, S>,
  rule: UpdateRule<H>,
  input: ParametersInput<P, H>,
  { slotDtype }: SlotOptions = {},
): Optimizer<Loss, LossValue, H, R> {
  requireRule(who, rule);
  if (slotDtype !== undefined) checkSlotStorage(who, slotDtype, engine.capabilities.slotDtypes);
  const set = new ParameterSet<P, V, S>(who, engine, rule, slotDtype);
  const lifecycle = new Lifecycle(engine.backend);
  const pending = new PendingGradients<P, V, S>();
  const skips = new SkipWatch();
  const parts: OptimizerParts<P, V, S> = { engine, rule: rule.name, set, pending, lifecycle, skips };
  const evaluation = new EvaluationPoint(engine, set, lifecycle);
  const guard = (call: string): void => {
    lifecycle.guard(call);
    evaluation.guard(call);
  };
  const { readSync } = engine;

  set.add(input, who);
  return {
    kind: "optimizer",
    contract: 1,
    backend: engine.backend,
    rule: rule.name,
    capabilities: engine.capabilities,
    ...(slotDtype !== undefined && { slotDtype }),
    defaults: rule.hyperparameters,
    paramGroups: set.paramGroups as unknown as ParamGroups<R>,
    get baseParamSettings() {
      return set.baseParamSettings as ParamGroup<H> | undefined;
    },
    parameters: set.infos,
    addParamGroup(group: AddedParamGroup<H>) {
      guard("addParamGroup");
      set.add([group as ParamGroupInput<P, BaseHyperparameters>], "addParamGroup");
    },
    guard,

    backward(loss, options = {}) {
      guard("backward");
      return backward(engine, parts, loss, options);
    },
    context(options, run) {
      guard("optimContext");
      return runInContext(engine, options, run);
    },
    step(options = {}) {
      guard("step");
      try {
        return step(parts, options);
      } finally {
        engine.flush?.();
      }
    },
    zeroGrad() {
      guard("zeroGrad");
      engine.flush?.();
      for (const parameter of set.parameters) parameter.pending = false;
      pending.clear();
    },

    swapIn() {
      guard("swapIn");
      evaluation.swapIn();
    },
    swapOut: () => evaluation.swapOut(),

    freeze(names) {
      guard("freeze");
      set.setFrozen(names, true, lifecycle.at("freeze"));
    },
    unfreeze(names) {
      guard("unfreeze");
      set.setFrozen(names, false, lifecycle.at("unfreeze"));
    },
    get frozen() {
      return set.parameters.filter((parameter) => set.isFrozen(parameter)).map(({ name }) => name);
    },

    // Refusals of what is asynchronous are rejections. Everything before the first await happens at the call.
    async readMetrics(lossScaler, options = {}) {
      guard("readMetrics");
      checkMetricsOptions(lifecycle.at("readMetrics"), options);
      const checkSkips = skips.beginRead(lifecycle.at("readMetrics"));
      const [lossScale = 1, metrics, gradNorms] = await Promise.all([
        lossScaler?.readScale(),
        engine.stages.readMetrics(),
        options.per === "parameter" ? readGradNorms(parts) : undefined,
      ]);
      checkSkips(metrics.skipped);
      return { ...metrics, ...(gradNorms && { gradNorms }), lossScale };
    },
    async stateDict({ pending: withPending = true } = {}) {
      guard("stateDict");
      return saveOptimizerState(parts, withPending);
    },
    async readSlots(names) {
      guard("readSlots");
      return readSlots(parts, names);
    },
    prepareLoad(saved, options = {}, committed) {
      guard("prepareLoad");
      return prepareOptimizerState(parts, saved, options, committed);
    },
    createLossScaler(options) {
      guard("createLossScaler");
      return engine.createLossScaler(resolveLossScale(options));
    },

    async readGradients() {
      guard("readGradients");
      return readGradients(parts);
    },
    ...(readSync && {
      readGradientsSync() {
        guard("readGradientsSync");
        return readGradientsSync(parts, (vectors) => readSync.call(engine, vectors));
      },
    }),
    writeGradients(gradients) {
      guard("writeGradients");
      writeGradients(parts, gradients);
    },
    async readParameters() {
      guard("readParameters");
      return readParameters(parts);
    },
    writeParameters(values) {
      guard("writeParameters");
      writeParameters(parts, values);
    },

    dispose() {
      if (lifecycle.disposed) return;
      guard("dispose");
      try {
        evaluation.swapOut();
      } catch (error) {
        // A device that is gone has nothing that could be put back.
        if (!isOptimError(error) || error.code !== "device-lost") throw error;
      } finally {
        lifecycle.disposed = true;
        release(parts);
        engine.dispose?.();
      }
    },
  };
}

function runInContext<T>(
  engine: { readonly context?: <U>(options: { readonly sync: boolean }, run: () => U) => U },
  options: { readonly sync: boolean },
  run: () => T,
): T {
  if (typeof run !== "function") refuse("invalid-option", "optimContext", "a function", run);
  const value = engine.context ? engine.context(options, run) : run();
  if (typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function") {
    // It may reject; that is not the error to show.
    (value as PromiseLike<unknown>).then(undefined, () => {});
    refuse("invalid-option", "optimContext", "a synchronous function", value);
  }
  return value;
}

function release<P, V, S>({ engine, set }: OptimizerParts<P, V, S>): void {
  for (const parameter of set.parameters) {
    const { accumulator, slots } = parameter;
    if (accumulator !== undefined) engine.release(accumulator);
    for (const slot of slots.values()) engine.release(slot);
    parameter.accumulator = undefined;
    parameter.pending = false;
    slots.clear();
  }
  set.forgetItems();
}
