import type {
  BaseHyperparameters,
  GroupsInput,
  Optimizer,
  ParametersInput,
  RulesOf,
  SlotOptions,
} from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "./gradients.ts";
import { arrayStorage } from "./in-place/arrays.ts";
import { inPlaceEngine } from "./in-place/engine.ts";
import { heapStorage } from "./in-place/heap.ts";
import {
  isNativeOptimizer,
  type NativeHyperparameters,
  type NativeOptimizer,
  nativeOptimizer,
} from "./native.ts";
import { opsEngine } from "./ops/engine.ts";
import { checkedOptions, type TfjsOptimizerOptions } from "./options.ts";
import { namedVariables, type TfjsParameters, type TfjsVariables } from "./parameters.ts";
import { createVariableOptimizer } from "./variable-optimizer.ts";
import { Canvas } from "./webgl/canvas.ts";
import { webglEngine } from "./webgl/engine.ts";
import { halfEngine } from "./webgl/half-engine.ts";
import { guardContext } from "./webgl/lost.ts";
import { WordStore } from "./webgl/word-store.ts";

/** The result of {@link tfjsOptimizer}. */
export type TfjsOptimizer<H extends BaseHyperparameters, R extends BaseHyperparameters = H> = Optimizer<
  TfjsLoss,
  tf.Scalar,
  H,
  R
>;

const who = "tfjsOptimizer";

/**
 * An update rule over tfjs variables, on the backend that is active now. Wrap it with `createOptimWrapper`.
 *
 * - tfjs-wasm: one fused SIMD kernel per variable, in place on tfjs's own heap. A step allocates no tensor.
 * - tfjs-cpu: the same kernels; each variable is copied into WebAssembly memory and back.
 * - tfjs-webgl: one draw per variable, which writes it and its state into new textures. Nothing waits for the device. Rules of several
 *   passes (LAMB, LARS, NovoGrad, and those of matrices) run by ops. Where textures are half floats, state and master weights are float32
 *   all the same, and those rules are refused (`unsupported`).
 * - every other backend: one to two tfjs ops per operation of the rule. Nothing waits for the device, skipped steps included.
 *
 * To a rule that takes parameters as matrices a variable is its last dimension, the outputs of a layer, by all others: [inputs, outputs] of a dense
 * kernel, [height, width, inputs, outputs] of a convolution's. Where the last dimension counts something else (the multiplier of a depthwise kernel,
 * the inputs of a transposed convolution, the features of an embedding) give the variable a group with another rule.
 *
 * A group may follow a rule of its own: `[{ params: hidden, rule: sgd({ lr: 0.1, momentum: 0.9 }) }, { params: rest }]`. All groups share one
 * backward, one norm and one state.
 *
 * Variables stay the caller's; accumulators and state are the optimizer's. Data that something else refers to (a clone, a reshape, the
 * tensor that a variable was made from) keeps its values: the variable gets its own copy first.
 *
 * @throws OptimError `invalid-parameter`, `empty-parameters`, `duplicate-parameter`, `unknown-option`, `invalid-option`,
 * `invalid-hyperparameter`, `invalid-rule`, `unsupported`
 */
export function tfjsOptimizer<H extends BaseHyperparameters, const G extends readonly object[]>(
  rule: UpdateRule<H>,
  groups: GroupsInput<TfjsVariables, NoInfer<H>, G>,
  options?: TfjsOptimizerOptions,
): TfjsOptimizer<H, RulesOf<G, H>>;
export function tfjsOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  variables: TfjsParameters<NoInfer<H>>,
  options?: TfjsOptimizerOptions,
): TfjsOptimizer<H>;
/**
 * A `tf.Optimizer` (`tf.train.adam(1e-3)`) with accumulation, clipping and loss scaling. It is ours from here: `dispose()` disposes it.
 * `capabilities` tell what it cannot do: one group, `lr` alone is live, its state loads into the same `tf.Optimizer` only, and steps
 * that may have to be skipped wait for the device.
 *
 * @throws OptimError `invalid-parameter`, `empty-parameters`, `duplicate-parameter`, `unsupported` for several groups
 */
export function tfjsOptimizer(
  optimizer: NativeOptimizer,
  variables: TfjsParameters<NativeHyperparameters>,
): TfjsOptimizer<NativeHyperparameters>;
export function tfjsOptimizer<H extends BaseHyperparameters>(
  ruleOrNative: UpdateRule<H> | NativeOptimizer,
  variables: TfjsParameters<H>,
  options: TfjsOptimizerOptions = {},
): TfjsOptimizer<H> | TfjsOptimizer<NativeHyperparameters> {
  const { lowering, ...slots } = checkedOptions(options, who);
  const parameters = namedVariables(variables, who);
  if (isNativeOptimizer(ruleOrNative)) {
    if (slots.slotDtype !== undefined) {
      refuse(
        "unsupported",
        `${who}: slotDtype`,
        "an update rule: a tf.Optimizer keeps what it keeps",
        slots.slotDtype,
      );
    }
    return nativeOptimizer(ruleOrNative, parameters, who);
  }
  return createRuleOptimizer(ruleOrNative, parameters, lowering, slots);
}

function createRuleOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<tf.Variable, H>,
  lowering: "auto" | "ops",
  slots: SlotOptions,
): TfjsOptimizer<H> {
  if (lowering === "auto") {
    const backend = tf.backend();
    const heap = heapStorage(backend);
    if (heap !== undefined) return createVariableOptimizer(who, inPlaceEngine(heap), rule, parameters, slots);
    const arrays = arrayStorage(backend);
    if (arrays !== undefined)
      return createVariableOptimizer(who, inPlaceEngine(arrays), rule, parameters, slots);
    const canvas = Canvas.of(backend);
    if (canvas !== undefined) {
      try {
        const engine =
          canvas.store instanceof WordStore ? halfEngine(canvas, canvas.store) : webglEngine(canvas);
        return createVariableOptimizer(who, guardContext(engine, backend), rule, parameters, slots);
      } catch (error) {
        canvas.release();
        throw error;
      }
    }
  }
  return createVariableOptimizer(who, guardContext(opsEngine(), tf.backend()), rule, parameters, slots);
}
