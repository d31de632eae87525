import type { BaseHyperparameters, Optimizer, ParametersInput } from "@mm/optim-core";
import {
  allOperations,
  arrayKernels,
  createOptimizer,
  type Engine,
  hostCapabilities,
  HostLossScaler,
  hostStages,
} from "@mm/optim-core/backend";
import {
  add,
  defineUpdateRule,
  mul,
  sub,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";

// The smallest backend: parameters are arrays, and a loss closure says what its value and its gradients are.

/** The gradients of a loss: a parameter that `gradients` does not name has none. */
export interface Loss {
  readonly value: number;
  readonly gradients: { readonly [parameter: string]: readonly number[] };
}

export type LossClosure = () => Loss;

/** A loss closure with these gradients. */
export const gradients =
  (of: Loss["gradients"], value = 0): LossClosure =>
  () => ({ value, gradients: of });

/** Stages, in the order in which they ran, are pushed to `log`; `live` counts accumulators and slots. */
export interface Observed {
  readonly log: string[];
  live: number;
  /** Vectors for which there is memory; no limit when absent. */
  room?: number;
  /** The operations that the kernels claim to know; all when absent. */
  operations?: ReadonlySet<string>;
  /** In front of the backend's own. */
  engine?: Partial<ArrayEngine>;
}

type ArrayEngine = Engine<LossClosure, number, Float32Array, Float32Array, readonly number[], number>;

export const observed = (): Observed => ({ log: [], live: 0 });

export function arrayOptimizer<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: ParametersInput<Float32Array, H>,
  seen: Observed = observed(),
  backend = "arrays",
): Optimizer<LossClosure, number, H> {
  const kernels = arrayKernels();
  const stages = hostStages<Float32Array, Float32Array>(kernels, { open: ({ value }) => value });
  const told = <A extends readonly unknown[], R>(stage: string, run: (...args: A) => R) => {
    return (...args: A): R => {
      const result = run(...args);
      seen.log.push(stage);
      return result;
    };
  };
  const optimizer = createOptimizer<
    LossClosure,
    number,
    Float32Array,
    Float32Array,
    readonly number[],
    number,
    H
  >(
    "arrayOptimizer",
    {
      backend,
      capabilities: hostCapabilities,
      operations: seen.operations ?? allOperations,
      describe: (value) => ({ shape: [value.length], identity: value }),
      allocate: (parameter, initial, length = parameter.length) => {
        if (seen.live === seen.room) throw new RangeError("out of memory");
        seen.live += 1;
        return new Float32Array(length).fill(initial);
      },
      allocateCopy: ({ value }) => {
        seen.live += 1;
        return value.slice();
      },
      release: () => {
        seen.live -= 1;
      },
      write: (vector, data) => vector.set(data),
      read: (vectors) => Promise.resolve(vectors.map((vector) => vector.slice())),
      readParameters: (of) => Promise.resolve(of.map(({ value }) => value.slice())),
      writeParameter: ({ value }, data) => value.set(data),
      scalar: (value) => value,
      readScalars: (scalars) => Promise.resolve([...scalars]),
      differentiate(loss, { parameters: wanted, returnLoss }) {
        seen.log.push("loss");
        const { value, gradients: found } = loss();
        return {
          value: returnLoss ? value : undefined,
          gradients: wanted.flatMap((parameter) => {
            const gradient = found[parameter.name];
            return gradient === undefined ? [] : [[parameter, gradient] as const];
          }),
        };
      },
      accumulate: told("accumulate", (parameter, gradient, { scale, lossScale = 1 }) => {
        const from = Float32Array.from(gradient);
        kernels.accumulate(
          parameter.accumulator as Float32Array,
          from,
          scale * lossScale,
          !parameter.pending,
        );
      }),
      stages: {
        ...stages,
        check: told("check", stages.check),
        unscale: told("unscale", stages.unscale),
        clip: told("clip", stages.clip),
        update: told("update", stages.update),
      },
      createLossScaler: (settings) => new HostLossScaler(backend, settings),
      ...seen.engine,
    },
    rule,
    parameters,
  );
  const zeroGrad = optimizer.zeroGrad.bind(optimizer);
  optimizer.zeroGrad = told("zeroGrad", zeroGrad);
  return optimizer;
}

/** θ ← θ − ηg: with η = 1 a parameter that began at 0 is minus the sum of what was applied. */
export const descent: UpdateRuleFactory<BaseHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Descent",
  hyperparameters: { lr: 1 },
  update: ({ param, grad }, { lr }) => ({ param: sub(param, mul(lr, grad)) }),
});

export interface MomentumHyperparameters {
  lr: number;
  momentum: number;
}

/** b ← μb + g and θ ← θ − ηb; with μ = 0 it has no slot. */
export const heavyBall: UpdateRuleFactory<MomentumHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "HeavyBall",
  hyperparameters: { lr: 1, momentum: 0 },
  check: ({ momentum }) => (momentum >= 0 && momentum < 1 ? undefined : "a momentum in [0, 1)"),
  structure: ({ momentum }) => ({ remembers: momentum !== 0 }),
  slots: ({ remembers }) => ({ ...(remembers && { buffer: 0 }) }),
  update({ param, grad, buffer }, { lr, momentum }, { remembers }) {
    if (!remembers) return { param: sub(param, mul(lr, grad)) };
    const next = add(mul(momentum, buffer), grad);
    return { param: sub(param, mul(lr, next)), buffer: next };
  },
});
