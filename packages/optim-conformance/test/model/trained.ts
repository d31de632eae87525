import {
  createOptimWrapper,
  type LossScaler,
  type OptimWrapper,
  type OptimWrapperOptions,
  type OptimWrapperStateDict,
} from "@mm/optim-core";
import { ema, sgd } from "@mm/optim-rules";
import type { AnyFactory } from "../../src/kit/kit.ts";
import type { LossClosure } from "../../src/index.ts";
import { late, type Meanwhile } from "./calls.ts";
import {
  type Closure,
  emaDecay,
  growthInterval,
  initialLossScale,
  type ModelOptions,
  momentum,
  type Reentry,
} from "./wrapper-model.ts";

/** A wrapper on one backend, with its parameters. */
export class Trained {
  readonly wrapper: OptimWrapper<LossClosure, unknown>;
  readonly factory: AnyFactory;
  readonly #parameters: Record<string, unknown>;
  readonly #shared: LossScaler | undefined;

  constructor(factory: AnyFactory, options: ModelOptions, values: Record<string, ArrayLike<number>>) {
    this.factory = factory;
    this.#parameters = Object.fromEntries(
      Object.entries({ a: [0], b: [0], ...values }).map(([name, initial]) => [name, this.#create(initial)]),
    );
    const { [late.name]: own, ...others } = this.#parameters;
    const lateGroup = { name: late.name, params: { [late.name]: own }, lr: late.lr };
    const groups = own === undefined ? [{ params: others }] : [{ params: others }, lateGroup];
    const optimizer = factory.createOptimizer(ema(sgd({ lr: 0.5, momentum }), { emaDecay }), groups);
    const dynamic = { initScale: initialLossScale, growthInterval };
    this.#shared = options.precision === "shared" ? optimizer.createLossScaler(dynamic) : undefined;
    const scales = { static: initialLossScale, dynamic, shared: this.#shared };
    this.wrapper = createOptimWrapper(optimizer, written(options, scales));
    const { maxCounts } = options;
    if (maxCounts !== undefined) this.wrapper.initializeCountStatus({ maxCounts });
  }

  /** Adds the group that comes later. */
  addLate(): void {
    const parameter = this.#create(late.initial);
    try {
      this.wrapper.addParamGroup({ name: late.name, params: { [late.name]: parameter }, lr: late.lr });
      this.#parameters[late.name] = parameter;
    } catch (error) {
      this.factory.disposeParameter?.(parameter);
      throw error;
    }
  }

  loss(closure: Closure): LossClosure {
    if (closure === "throws") {
      return () => {
        throw new Error("of the closure's own");
      };
    }
    if (typeof closure === "string") return () => this.attempt(closure);
    return this.factory.linearLoss(
      Object.entries(closure).map(([name, gradient]) => ({
        name,
        parameter: this.#parameters[name],
        gradient: Float32Array.from(gradient),
      })),
    );
  }

  /** Makes a call at a time when it may be refused: in the wrapper's own closure, or while the model is evaluated. */
  attempt(call: Reentry | Meanwhile): unknown {
    const { wrapper } = this;
    switch (call) {
      case "updateParams":
      case "backward":
        return wrapper[call](this.loss({ a: [1, 1] }));
      case "freeze":
      case "unfreeze":
        return wrapper[call](["a"]);
      case "addParamGroup":
        return this.addLate();
      case "initializeCountStatus":
        return wrapper.initializeCountStatus({});
      case "optimContext":
      case "evaluating":
        return wrapper[call](() => 1);
      case "prepareLoad":
        return wrapper.prepareLoad({} as OptimWrapperStateDict);
      default:
        return wrapper[call]();
    }
  }

  /** Ends an iteration: a shared scaler is the caller's to update. */
  update(): void {
    this.#shared?.update();
  }

  dispose(): void {
    this.wrapper.dispose();
    this.#shared?.dispose();
    for (const parameter of Object.values(this.#parameters)) this.factory.disposeParameter?.(parameter);
  }

  #create(initial: ArrayLike<number>): unknown {
    return this.factory.createParameter(Float32Array.from(initial), [initial.length]);
  }
}

/** The options of a wrapper, as a caller writes them. */
function written(
  { accumulativeCounts, precision, clip, gradNorm }: ModelOptions,
  scales: { readonly [name: string]: OptimWrapperOptions["lossScale"] },
): OptimWrapperOptions {
  return {
    accumulativeCounts,
    gradNorm,
    ...(precision in scales
      ? { lossScale: scales[precision] }
      : { onNonFinite: precision as NonNullable<OptimWrapperOptions["onNonFinite"]> }),
    ...(clip && {
      clipGrad:
        "clipValue" in clip
          ? { type: "value", ...clip }
          : // Beside anything else it would say a second time what becomes of such a step.
            precision === "propagate"
            ? clip
            : { maxNorm: clip.maxNorm },
    }),
  };
}
