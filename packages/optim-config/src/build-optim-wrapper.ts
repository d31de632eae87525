import {
  type BaseHyperparameters,
  createOptimWrapper,
  type Optimizer,
  type OptimWrapper,
  type ParamGroupInput,
  type RuledGroupInput,
  type SlotOptions,
} from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { AnyParamRule, OptimWrapperConfig, Paramwise } from "./config.ts";
import { describeModel, type Model } from "./model/describe-model.ts";
import type { DescribedParameter, ModelKind } from "./model/model-kind.ts";
import { keepOrigins } from "./origin.ts";
import { decayLayers } from "./paramwise/layer-decay.ts";
import { planMmengine } from "./paramwise/mmengine.ts";
import { type Plan, type PlannedParameter, planPlain, type PlanRequest } from "./paramwise/plan.ts";
import { planRules } from "./paramwise/rules.ts";
import { plainWrapper, type ReadConfig, readConfig, requireRegistries } from "./read-config.ts";
import { makeWrapped, within } from "./make-rule.ts";
import type {
  Registries,
  RuleHyperparameters,
  RuleName,
  RuleRegistry,
  ScheduleRegistry,
} from "./registry.ts";

/**
 * The entry point of a backend: `tfjsOptimizer`, `wasmOptimizer`, or a function that calls one with options. The third argument is given where the
 * configuration says `slotDtype`.
 */
export type EntryPoint<P, Loss, LossValue> = (
  rule: UpdateRule,
  groups: readonly (ParamGroupInput<P, BaseHyperparameters> | RuledGroupInput<P, BaseHyperparameters>)[],
  options?: SlotOptions,
) => Pick<Optimizer<Loss, LossValue>, RuleIndependent>;

// An entry point with overloads loses its type parameters where TypeScript compares it with this one: what has the type of a rule's
// hyperparameters is left to the configuration.
type RuleIndependent = Exclude<
  keyof Optimizer<never, unknown>,
  "paramGroups" | "baseParamSettings" | "defaults" | "addParamGroup"
>;

/** The objects that a configuration is built with. */
export interface BuildParts<
  P,
  Loss,
  LossValue,
  R extends RuleRegistry,
  S extends ScheduleRegistry = ScheduleRegistry,
> extends Registries<R, S> {
  readonly optimizer: EntryPoint<P, Loss, LossValue>;
  /** Further kinds of models, looked at before those that are known. */
  readonly models?: readonly ModelKind<never, P>[];
}

/**
 * Builds an optimizer wrapper from plain data.
 *
 * ```ts
 * const optim = buildOptimWrapper(model, config, { optimizer: tfjsOptimizer, rules: { adamw, sgd } });
 * ```
 *
 * The configuration is checked as a whole before anything is made, and neither changed nor kept. A frozen parameter is in the optimizer as
 * any other, in its group, and takes no step until it is unfrozen. {@link explain} tells what became of each parameter.
 *
 * @param model a tfjs LayersModel or parameters by name; anything that a kind of `models` accepts
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-hyperparameter`, with the path of the field; what {@link describeModel}
 * and the optimizer throw for parameters
 */
export function buildOptimWrapper<
  P,
  Loss,
  LossValue,
  const R extends RuleRegistry,
  const T extends RuleName<R>,
  const S extends ScheduleRegistry,
>(
  model: Model<P>,
  config: OptimWrapperConfig<R, T, S>,
  parts: BuildParts<P, Loss, LossValue, R, S>,
): OptimWrapper<Loss, LossValue, RuleHyperparameters<R[T]>>;
export function buildOptimWrapper<
  M,
  P,
  Loss,
  LossValue,
  const R extends RuleRegistry,
  const T extends RuleName<R>,
  const S extends ScheduleRegistry,
>(
  model: M,
  config: OptimWrapperConfig<R, T, S>,
  parts: BuildParts<P, Loss, LossValue, R, S> & { readonly models: readonly ModelKind<M, P>[] },
): OptimWrapper<Loss, LossValue, RuleHyperparameters<R[T]>>;
export function buildOptimWrapper<P, Loss, LossValue>(
  model: unknown,
  config: OptimWrapperConfig,
  parts: BuildParts<P, Loss, LossValue, RuleRegistry>,
): OptimWrapper<Loss, LossValue> {
  const who = "buildOptimWrapper";
  requireParts(parts, who);
  const read = readConfig(plainWrapper(config, parts), parts, "config");
  return makeWrapper(planWrapper(read, describeModel(model, parts.models ?? [], `${who}: model`)), parts);
}

/** @throws OptimError `invalid-option`, `invalid-rule` */
export function requireParts(parts: object, who: string): void {
  const { optimizer } = Object(parts) as { readonly optimizer?: unknown };
  if (typeof optimizer !== "function") {
    refuse(
      "invalid-option",
      `${who}: optimizer`,
      "the entry point of a backend, such as tfjsOptimizer",
      optimizer,
    );
  }
  requireRegistries(parts, who);
}

/** All that a wrapper is made from, checked. */
export interface WrapperPlan<P> extends Plan<P> {
  readonly read: ReadConfig;
}

/** Decides on the options of every parameter. @throws OptimError for options that these parameters or the rule do not bear */
export function planWrapper<P>(
  read: ReadConfig,
  parameters: readonly DescribedParameter<P>[],
): WrapperPlan<P> {
  const { paramwise, layerDecay } = read.config;
  const request = { ...read, parameters };
  const plan = planParamwise(request, paramwise);
  return { read, ...(layerDecay === undefined ? plan : decayLayers(request, plan, layerDecay)) };
}

function planParamwise<P>(
  request: PlanRequest<P>,
  paramwise: Paramwise | readonly AnyParamRule[] | undefined,
): Plan<P> {
  if (paramwise === undefined || Object.keys(paramwise).length === 0) return planPlain(request);
  return isList(paramwise) ? planRules(request, paramwise) : planMmengine(request, paramwise);
}

/** @throws OptimError what the optimizer refuses of the parameters; then nothing is left of it */
export function makeWrapper<P, Loss, LossValue>(
  { read: { config, path, rule, wrapperOptions, lrFactor }, planned, unused }: WrapperPlan<P>,
  { optimizer, rules }: BuildParts<P, Loss, LossValue, RuleRegistry>,
): OptimWrapper<Loss, LossValue> {
  const lr = rule.hyperparameters.lr * lrFactor;
  const scaled = makeWrapped(rules, { ...config.optimizer, lr }, `${path}.optimizer`);
  return within(`${path}: `, () => {
    const { slotDtype } = config;
    const groups = groupsOf(planned, lrFactor);
    const given =
      slotDtype === undefined ? optimizer(scaled, groups) : optimizer(scaled, groups, { slotDtype });
    const made = given as Optimizer<Loss, LossValue>;
    try {
      if (slotDtype !== undefined && made.slotDtype === undefined) {
        const hint = "(rule, groups, options) => webgpuOptimizer(rule, groups, { device, ...options })";
        const expected = "an entry point that hands its third argument on";
        refuse("invalid-option", "slotDtype", expected, slotDtype, { hint });
      }
      const wrapper = createOptimWrapper(made, wrapperOptions);
      wrapper.freeze(planned.flatMap(({ frozen, parameter }) => (frozen ? [parameter.name] : [])));
      keepOrigins(wrapper, planned, unused);
      return wrapper;
    } catch (error) {
      made.dispose();
      throw error;
    }
  });
}

function groupsOf<P>(
  planned: readonly PlannedParameter<P>[],
  lrFactor: number,
): readonly (ParamGroupInput<P, BaseHyperparameters> | RuledGroupInput<P, BaseHyperparameters>)[] {
  type Group = Pick<PlannedParameter<P>, "rule" | "options"> & { readonly params: Record<string, P> };
  const groups = new Map<string, Group>();
  for (const { parameter, group: name, rule, options } of planned) {
    const group = groups.get(name) ?? { params: Object.create(null) as Record<string, P>, rule, options };
    group.params[parameter.name] = parameter.value;
    groups.set(name, group);
  }
  return Array.from(groups, ([name, { params, rule, options }]) => {
    const { lr = rule?.hyperparameters.lr } = options as Partial<BaseHyperparameters>;
    const scaled = { ...options, ...(lr !== undefined && { lr: lr * lrFactor }), name, params };
    return rule === undefined ? scaled : { ...scaled, rule };
  });
}

const isList = <T, L>(value: T | readonly L[]): value is readonly L[] => Array.isArray(value);
