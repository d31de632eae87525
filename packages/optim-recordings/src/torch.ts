import type { BaseHyperparameters, ClipGrad, DynamicLossScale, LossScale } from "@mm/optim-core";
import type { UpdateRule, UpdateRuleFactory } from "@mm/optim-core/rule";
import * as ourRules from "@mm/optim-rules";
import type { TorchOptimizer, TorchOptions, TorchValue } from "./format.ts";

/** Rules by PyTorch's class name, in lower case. */
export type RulesByName = Readonly<Record<string, UpdateRuleFactory<BaseHyperparameters>>>;

/** Our rules and others, which are looked at first. */
export const rulesByName = (more: RulesByName): RulesByName => ({
  ...(ourRules as object as RulesByName),
  ...more,
});

/** Our rule for an optimizer of PyTorch. `more` are looked at first. */
export function ruleOf({ type, args }: TorchOptimizer, more: RulesByName = {}): UpdateRule {
  const factory = rulesByName(more)[type.toLowerCase()];
  if (factory === undefined) throw new Error(`no update rule for torch.optim.${type}`);
  return factory(hyperparametersOf(args));
}

/** Arguments that choose an implementation, not a result; and the parameters, which are compared by themselves. */
const notHyperparameters: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "foreach",
  "capturable",
  "differentiable",
  "fused",
  "params",
]);

/** PyTorch's arguments under our names. */
export function hyperparametersOf(options: TorchOptions): Record<string, TorchValue> {
  return Object.fromEntries(
    Object.entries(options)
      .filter(([name]) => !notHyperparameters.has(name))
      .map(([name, value]) => [camelCase(name), value]),
  );
}

/** `weight_decay` → `weightDecay` */
export function camelCase(name: string): string {
  return name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** MMEngine's `clip_grad` under our names. */
export function clipGradOf(clipGrad: TorchOptions | null): ClipGrad | undefined {
  if (clipGrad === null) return undefined;
  return Object.fromEntries(
    Object.entries(clipGrad).map(([name, value]) => [
      camelCase(name),
      name === "norm_type" ? pOf(value) : value,
    ]),
  ) as unknown as ClipGrad;
}

function pOf(normType: TorchValue): TorchValue {
  return normType === "inf" ? Number.POSITIVE_INFINITY : Number(normType);
}

/** PyTorch's scale has no floor. This one is the smallest that float32 has, so that nothing but reaching 0 differs. */
const lowestFloor = 2 ** -149;

/** MMEngine's `loss_scale`, or the arguments of `GradScaler`, under our names. */
export function lossScaleOf(lossScale: "dynamic" | number | TorchOptions | undefined): LossScale | undefined {
  if (typeof lossScale !== "object") return lossScale;
  const options = Object.entries(lossScale).map(([name, value]) => [camelCase(name), value]);
  return { ...(Object.fromEntries(options) as DynamicLossScale), minScale: lowestFloor };
}
