import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import { compareState } from "../compare-state.ts";
import type { OptimizerCase, TorchOptions } from "../format.ts";
import { type Bench, hasGradient, RecordedSubject } from "../subject.ts";
import { hyperparametersOf } from "../torch.ts";

/** An optimizer of PyTorch on given gradients. */
export async function runOptimizer<P, Loss extends LossClosure, LossValue>(
  { optimizer, groups, init, steps, checkpoint, finalStateDict }: OptimizerCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const subject = new RecordedSubject(bench, optimizer, groups, init);
  let current = subject.optimizer;
  for (const [index, { set = [], grads, after }] of steps.entries()) {
    if (checkpoint?.beforeStep === index) {
      const saved = await current.stateDict();
      compareState(checks, "checkpoint", saved, checkpoint.stateDict, subject.names);
      current.dispose();
      const bare = groups.map(({ params }) => ({ params }));
      current = subject.createOptimizer(bench.rules, { ...optimizer, args: checkpoint.freshArgs }, bare);
      current.prepareLoad(saved).commit();
    }
    for (const { group, ...options } of set) {
      Object.assign(current.paramGroups[group] as object, hyperparametersOf(options as TorchOptions));
    }
    if (hasGradient(grads)) current.backward(subject.loss(grads));
    current.step();
    current.zeroGrad();
    const parameters = await current.readParameters();
    for (const [name, data] of Object.entries(after)) {
      checks.parameter(`steps[${index}].after.${name}`, parameters[name], data);
    }
  }
  compareState(checks, "finalStateDict", await current.stateDict(), finalStateDict, subject.names);
  current.dispose();
  subject.dispose();
  return checks;
}
