import type { GoldenTensor, OptimizerCase, TorchOptions, TrainingCase } from "../format.ts";
import { encode, TorchModel } from "./formulas.ts";

/** A model with the parameters of a case. */
export function modelOf({
  optimizer,
  groups,
  init,
}: Pick<TrainingCase, "optimizer" | "groups" | "init">): TorchModel {
  const model = new TorchModel(optimizer, groups);
  for (const { params } of groups) {
    for (const name of params)
      model.parameters.set(name, [...(init[name] as GoldenTensor).data].map(toFloat32));
  }
  return model;
}

/** The parameters as a recording has them. */
export function parametersOf(model: TorchModel): Record<string, ReturnType<typeof encode>> {
  return Object.fromEntries([...model.parameters].map(([name, values]) => [name, encode(values)]));
}

export function toFloat32(value: number | string): number {
  return Math.fround(Number(value));
}

/** A case of kind `optimizer` with the trajectory that our formulas give. Checkpoints do not change it. */
export function expectOptimizer(recorded: OptimizerCase): OptimizerCase {
  const model = modelOf(recorded);
  const steps = recorded.steps.map((step) => {
    for (const { group, ...options } of step.set ?? []) {
      const target = model.groups[group] as (typeof model.groups)[number];
      target.options = { ...target.options, ...(options as TorchOptions) };
    }
    const gradients = Object.entries(step.grads).flatMap(([name, data]) =>
      data === null ? [] : [[name, [...data].map(toFloat32)] as const],
    );
    model.step(new Map(gradients));
    return { ...step, after: parametersOf(model) };
  });
  return { ...recorded, steps, finalStateDict: { ...recorded.finalStateDict, state: model.state() } };
}
