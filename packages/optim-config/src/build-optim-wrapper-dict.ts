import { type OptimWrapper, refuse } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { type BuildParts, prepareWrapper, requireParts } from "./build-optim-wrapper.ts";
import type { OptimWrapperDictConfig } from "./config.ts";
import { compileMatcher } from "./matcher.ts";
import { describeModel, type Model, requireNames } from "./model/describe-model.ts";
import type { DescribedParameter, ModelKind } from "./model/model-kind.ts";
import type { HyperparametersOf, RuleName, RuleRegistry, ScheduleRegistry } from "./registry.ts";
import { checkedDictSchema } from "./schema/config-schema.ts";
import { checkJson, memberPath } from "./schema/json-schema.ts";

type RuleNames<R extends RuleRegistry> = { readonly [name: string]: RuleName<R> };

/** The dict of a configuration: a wrapper for each name, typed by its rule. */
export type BuiltDict<Loss, LossValue, R extends RuleRegistry, T extends RuleNames<R>> = OptimWrapperDict<{
  readonly [K in keyof T]-?: OptimWrapper<Loss, LossValue, HyperparametersOf<R[T[K]]>>;
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
  checkJson(checkedDictSchema(parts), config, "config");
  const entries = Object.entries(config.wrappers).map(([name, member]) => {
    const { params: _, ...wrapper } = member;
    return [name, prepareWrapper(wrapper, parts, memberPath("config.wrappers", name))] as const;
  });
  const shares = shareOut(describeModel(model, parts.models ?? [], `${who}: model`), config);
  const makers = entries.map(([name, prepare]) => [name, prepare(shares.get(name) ?? [])] as const);
  const made: [string, OptimWrapper<Loss, LossValue>][] = [];
  try {
    for (const [name, make] of makers) made.push([name, make()]);
    return new OptimWrapperDict(Object.fromEntries(made));
  } catch (error) {
    for (const [, wrapper] of made) wrapper.dispose();
    throw error;
  }
}

/** The parameters of each wrapper, by its name. */
function shareOut<P>(
  parameters: readonly DescribedParameter<P>[],
  { wrappers, unused }: OptimWrapperDictConfig,
): ReadonlyMap<string, readonly DescribedParameter<P>[]> {
  const takers = Object.entries(wrappers).map(([name, { params }]) => ({
    name,
    path: memberPath("config.wrappers", name),
    matcher: compileMatcher(params ?? { prefix: name }, `${memberPath("config.wrappers", name)}.params`),
    rename:
      params === undefined ? (full: string) => full.slice(name.length + 1) || full : (full: string) => full,
    taken: [] as DescribedParameter<P>[],
  }));
  const left = unused === undefined ? undefined : compileMatcher(unused, "config.unused");
  const problems: string[] = [];
  for (const parameter of parameters) {
    const takenBy = takers.filter(({ matcher }) => matcher.matches(parameter));
    const isUnused = left?.matches(parameter) === true;
    const [taker] = takenBy;
    const claims = [...takenBy.map(({ name }) => name), ...(isUnused ? ["unused"] : [])];
    if (claims.length !== 1) problems.push(`${parameter.name}: ${claims.join(" and ") || "none"}`);
    else if (taker) taker.taken.push({ ...parameter, name: taker.rename(parameter.name) });
  }
  if (problems.length > 0) {
    const more = problems.length > 8 ? ` (and ${problems.length - 8} more)` : "";
    refuse("invalid-option", "config.wrappers", "each parameter in one wrapper, or in unused", problems, {
      hint: `Change the wrappers' params${more}`,
    });
  }
  for (const { path, matcher, taken } of takers) {
    if (taken.length === 0) {
      const names = parameters.slice(0, 8).map(({ name }) => name);
      refuse("empty-parameters", `${path}.params`, "at least one parameter", matcher.text, {
        hint: `There are ${names.join(", ")}${parameters.length > 8 ? ", …" : ""}`,
      });
    }
    requireNames(taken, path);
  }
  return new Map(takers.map(({ name, taken }) => [name, taken]));
}
