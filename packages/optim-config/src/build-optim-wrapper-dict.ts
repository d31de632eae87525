import type { OptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { OptimWrapperDict } from "@mm/optim-dict";
import { type BuildParts, makeWrapper, planWrapper, requireParts } from "./build-optim-wrapper.ts";
import type { OptimWrapperDictConfig } from "./config.ts";
import { compileMatcher, type Matcher } from "./matcher.ts";
import { describeModel, listNames, type Model, requireNames } from "./model/describe-model.ts";
import type { DescribedParameter, ModelKind } from "./model/model-kind.ts";
import type { RuleHyperparameters, RuleName, RuleRegistry, ScheduleRegistry } from "./registry.ts";
import { plainDict, readConfig } from "./read-config.ts";
import { memberPath } from "./schema/json-schema.ts";

type RuleNames<R extends RuleRegistry> = { readonly [name: string]: RuleName<R> };

/** The dict of a configuration: a wrapper for each name, typed by its rule. */
export type BuiltDict<Loss, LossValue, R extends RuleRegistry, T extends RuleNames<R>> = OptimWrapperDict<{
  readonly [K in keyof T]-?: OptimWrapper<Loss, LossValue, RuleHyperparameters<R[T[K]]>>;
}>;

/**
 * Builds several optimizer wrappers from plain data, sharing out the parameters of one model (or of several, see {@link joinModels}) by
 * patterns: each parameter goes to exactly one wrapper, or to none by `unused`.
 *
 * ```ts
 * const optim = buildOptimWrapperDict(
 *   model,
 *   {
 *     wrappers: {
 *       actor: { params: "actor.**", optimizer: { type: "adamw", lr: 3e-4 } },
 *       critic: { params: "critic.**", optimizer: { type: "sgd", lr: 1e-2 } },
 *     },
 *   },
 *   { optimizer: wasmOptimizer, rules: { adamw, sgd } },
 * );
 * ```
 *
 * Where one wrapper cannot be made, those that were made are disposed. For wrappers of different backends, build each by itself.
 *
 * @throws OptimError as `buildOptimWrapper`; `invalid-option` with the names of all parameters that no wrapper takes, or several;
 * `empty-parameters` for a wrapper that takes none
 */
export function buildOptimWrapperDict<
  P,
  Loss,
  LossValue,
  const R extends RuleRegistry,
  const T extends RuleNames<R>,
  const S extends ScheduleRegistry,
>(
  model: Model<P>,
  config: OptimWrapperDictConfig<R, T, S>,
  parts: BuildParts<P, Loss, LossValue, R, S>,
): BuiltDict<Loss, LossValue, R, T>;
export function buildOptimWrapperDict<
  M,
  P,
  Loss,
  LossValue,
  const R extends RuleRegistry,
  const T extends RuleNames<R>,
  const S extends ScheduleRegistry,
>(
  model: M,
  config: OptimWrapperDictConfig<R, T, S>,
  parts: BuildParts<P, Loss, LossValue, R, S> & { readonly models: readonly ModelKind<M, P>[] },
): BuiltDict<Loss, LossValue, R, T>;
export function buildOptimWrapperDict<P, Loss, LossValue>(
  model: unknown,
  config: OptimWrapperDictConfig,
  parts: BuildParts<P, Loss, LossValue, RuleRegistry>,
): OptimWrapperDict<{ readonly [name: string]: OptimWrapper<Loss, LossValue> }> {
  const who = "buildOptimWrapperDict";
  requireParts(parts, who);
  const { wrappers, unused } = plainDict(config, parts);
  const members = Object.entries(wrappers).map(([name, { params, ...wrapper }]) => {
    const path = memberPath("config.wrappers", name);
    return { name, params, path, read: readConfig(wrapper, parts, path) };
  });
  const parameters = describeModel(model, parts.models ?? [], `${who}: model`);
  const shares = shareOut(parameters, members, unused);
  const plans = members.map(
    ({ name, read }, index) => [name, planWrapper(read, shares[index] ?? [])] as const,
  );
  const made: [string, OptimWrapper<Loss, LossValue>][] = [];
  try {
    for (const [name, plan] of plans) made.push([name, makeWrapper(plan, parts)]);
    return new OptimWrapperDict(Object.fromEntries(made));
  } catch (error) {
    for (const [, wrapper] of made) wrapper.dispose();
    throw error;
  }
}

/** The parameters of each member. */
function shareOut<P>(
  parameters: readonly DescribedParameter<P>[],
  members: readonly { readonly name: string; readonly params?: Matcher | undefined; readonly path: string }[],
  unused: Matcher | undefined,
): readonly (readonly DescribedParameter<P>[])[] {
  const takers = members.map(({ name, params, path }) => ({
    name,
    path,
    matcher: compileMatcher(params ?? { prefix: name }, `${path}.params`),
    rename: (full: string) => (params === undefined && full.slice(name.length + 1)) || full,
    taken: [] as DescribedParameter<P>[],
  }));
  const left = unused === undefined ? undefined : compileMatcher(unused, "config.unused");
  const problems: string[] = [];
  for (const parameter of parameters) {
    const takenBy = takers.filter(({ matcher }) => matcher.matches(parameter));
    const isUnused = left?.matches(parameter) === true;
    const claims = [...takenBy.map(({ name }) => name), ...(isUnused ? ["unused"] : [])];
    if (claims.length !== 1) problems.push(`${parameter.name}: ${claims.join(" and ") || "none"}`);
    for (const { taken, rename } of takenBy) taken.push({ ...parameter, name: rename(parameter.name) });
  }
  if (problems.length > 0) {
    const more = problems.length > 8 ? ` (and ${problems.length - 8} more)` : "";
    refuse("invalid-option", "config.wrappers", "each parameter in one wrapper, or in unused", problems, {
      hint: `Change the wrappers' params${more}`,
    });
  }
  for (const { path, matcher, taken } of takers) {
    if (taken.length === 0) {
      refuse("empty-parameters", `${path}.params`, "at least one parameter", matcher.text, {
        hint: `There are ${listNames(parameters)}`,
      });
    }
    requireNames(taken, path);
  }
  return takers.map(({ taken }) => taken);
}
