import type { LossClosure, OptimizerFactory } from "@mm/optim-conformance";
import type { Optimizer } from "@mm/optim-core";
import {
  decode,
  type GoldenGradients,
  type GoldenTensor,
  type TorchGroup,
  type TorchOptimizer,
} from "./format.ts";
import { hyperparametersOf, ruleOf, type RulesByName } from "./torch.ts";

/** The objects that a case is run with. */
export interface Bench<P, Loss extends LossClosure, LossValue> {
  readonly factory: OptimizerFactory<P, Loss, LossValue>;
  readonly rules: RulesByName;
}

/** Parameters of a case and an optimizer over them. */
export class RecordedSubject<P, Loss extends LossClosure, LossValue> {
  readonly optimizer: Optimizer<Loss, LossValue>;
  /** In PyTorch's order. */
  readonly names: readonly string[];
  readonly #factory: OptimizerFactory<P, Loss, LossValue>;
  readonly #parameters: ReadonlyMap<string, P>;

  constructor(
    { factory, rules }: Bench<P, Loss, LossValue>,
    optimizer: TorchOptimizer,
    groups: readonly TorchGroup[],
    init: Readonly<Record<string, GoldenTensor>>,
  ) {
    this.#factory = factory;
    this.names = groups.flatMap(({ params }) => params);
    this.#parameters = new Map(
      this.names.map((name) => {
        const { data, shape } = init[name] as GoldenTensor;
        return [name, factory.createParameter(decode(data), shape)];
      }),
    );
    this.optimizer = this.createOptimizer(rules, optimizer, groups);
  }

  /** Another optimizer over the same parameters. */
  createOptimizer(
    rules: RulesByName,
    optimizer: TorchOptimizer,
    groups: readonly TorchGroup[],
  ): Optimizer<Loss, LossValue> {
    const written = groups.map(({ params, options = {} }) => ({
      params: Object.fromEntries(params.map((name) => [name, this.#parameters.get(name) as P])),
      ...hyperparametersOf(options),
    }));
    return this.#factory.createOptimizer(ruleOf(optimizer, rules), written);
  }

  /** The linear loss with these gradients. */
  loss(grads: GoldenGradients): Loss {
    const terms = Object.entries(grads).flatMap(([name, data]) =>
      data === null ? [] : [{ name, parameter: this.#parameters.get(name) as P, gradient: decode(data) }],
    );
    return this.#factory.linearLoss(terms);
  }

  dispose(): void {
    for (const parameter of this.#parameters.values()) this.#factory.disposeParameter?.(parameter);
  }
}

export function hasGradient(grads: GoldenGradients): boolean {
  return Object.values(grads).some((data) => data !== null);
}
