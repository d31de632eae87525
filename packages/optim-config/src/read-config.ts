import type { HyperparameterRecord, OptimWrapperOptions } from "@mm/optim-core";
import { hyperparameterEntries, refuse, resolveLossScale } from "@mm/optim-core/backend";
import { resolveHyperparameters, type UpdateRule } from "@mm/optim-core/rule";
import type {
  AnyOptimizerConfig,
  OptimWrapperConfig,
  OptimWrapperDictConfig,
  AnyParamRule,
  WrapperSettings,
} from "./config.ts";
import { makeRule, makeWrapped, tryFactory, within } from "./make-rule.ts";
import type { Registries, RuleName, RuleRegistry, ScheduleRegistry } from "./registry.ts";
import { makeSchedules } from "./build-scheduler.ts";
import { checkedDictSchema, checkedWrapperSchema } from "./schema/config-schema.ts";
import { checkJson, memberPath, plainCopy } from "./schema/json-schema.ts";

/** A configuration that was checked, as far as that goes without a model. */
export interface ReadConfig {
  readonly config: OptimWrapperConfig;
  /** Where it stands. */
  readonly path: string;
  /** With the learning rate as it is written. */
  readonly rule: UpdateRule;
  /** Of each entry of a `paramwise` list, the rule that it names. */
  readonly rules: readonly (UpdateRule | undefined)[];
  readonly written: HyperparameterRecord;
  readonly wrapperOptions: OptimWrapperOptions;
  /** The factor of learning rates. */
  readonly lrFactor: number;
}

/**
 * Checks what came from JSON, and gives it its type. `buildOptimWrapper` does the same; call this to know early, or for the type.
 *
 * @throws OptimError `invalid-option`, `unknown-option` or `invalid-hyperparameter`, with the path of the field: `config.optimizer.lr`
 */
export function parseOptimWrapperConfig<const R extends RuleRegistry, const S extends ScheduleRegistry>(
  json: unknown,
  registries: Registries<R, S>,
): OptimWrapperConfig<R, RuleName<R>, S> {
  requireRegistries(registries, "parseOptimWrapperConfig");
  readConfig(plainWrapper(json, registries), registries, "config");
  return json as OptimWrapperConfig<R, RuleName<R>, S>;
}

/** The same for {@link OptimWrapperDictConfig}. */
export function parseOptimWrapperDictConfig<const R extends RuleRegistry, const S extends ScheduleRegistry>(
  json: unknown,
  registries: Registries<R, S>,
): OptimWrapperDictConfig<R, { readonly [name: string]: RuleName<R> }, S> {
  requireRegistries(registries, "parseOptimWrapperDictConfig");
  for (const [name, config] of Object.entries(plainDict(json, registries).wrappers)) {
    readConfig(config, registries, memberPath("config.wrappers", name));
  }
  return json as OptimWrapperDictConfig<R, { readonly [name: string]: RuleName<R> }, S>;
}

/** @throws OptimError `invalid-option`, `invalid-rule` */
export function requireRegistries(registries: object, who: string): void {
  const { rules, schedules = {} } = Object(registries) as Partial<Registries>;
  const named = Object.entries(Object(rules) as RuleRegistry);
  // A module may export what is no function; in a record of one's own that is a mistake.
  const isModule = Object.prototype.toString.call(rules) === "[object Module]";
  for (const [name, factory] of named) {
    if (isModule || typeof factory === "function") continue;
    refuse("invalid-rule", `${who}: rules.${name}`, "a function that makes a rule, such as adamw", factory);
  }
  if (!named.some(([, factory]) => tryFactory(factory).rule)) {
    refuse("invalid-option", `${who}: rules`, "rules by name: { adamw, sgd }", rules);
  }
  for (const [name, factory] of Object.entries(Object(schedules) as ScheduleRegistry)) {
    if (typeof factory === "function") continue;
    refuse(
      "invalid-option",
      `${who}: schedules.${name}`,
      "a function that makes a schedule, such as cosine",
      factory,
    );
  }
}

/** A name of the registry that makes no rule is another mistake than a name that is not there. @throws OptimError `invalid-rule` */
function requireFactories(json: unknown, registries: Registries, path: string): void {
  const { optimizer, paramwise } = Object(json) as {
    readonly optimizer?: unknown;
    readonly paramwise?: unknown;
  };
  requireFactory(optimizer, registries, `${path}.optimizer`);
  for (const [index, entry] of (Array.isArray(paramwise) ? (paramwise as unknown[]) : []).entries()) {
    requireFactory(
      (Object(entry) as { readonly rule?: unknown }).rule,
      registries,
      `${path}.paramwise[${index}].rule`,
    );
  }
}

function requireFactory(written: unknown, { rules }: Registries, path: string): void {
  const { type } = Object(written) as { readonly type?: unknown };
  if (typeof type !== "string" || !Object.hasOwn(rules, type)) return;
  const { rule, ...why } = tryFactory(rules[type]);
  if (rule !== undefined) return;
  const expected = "a function of the registry that makes a rule from its hyperparameters, or from none";
  refuse("invalid-rule", `${path}.type`, expected, type, why);
}

/** A copy of what passes the schema. @throws OptimError */
export function plainWrapper(json: unknown, registries: Registries): OptimWrapperConfig {
  requireFactories(json, registries, "config");
  checkJson(checkedWrapperSchema(registries), json, "config");
  return plainCopy(json as OptimWrapperConfig);
}

/** The same for a dict. @throws OptimError */
export function plainDict(json: unknown, registries: Registries): OptimWrapperDictConfig {
  const { wrappers } = Object(json) as Partial<OptimWrapperDictConfig>;
  for (const [name, wrapper] of Object.entries(Object(wrappers) as object)) {
    requireFactories(wrapper, registries, memberPath("config.wrappers", name));
  }
  checkJson(checkedDictSchema(registries), json, "config");
  return plainCopy(json as OptimWrapperDictConfig);
}

/** Checks that the schema cannot express: values that a rule refuses, and those that do not go together. */
export function readConfig(config: OptimWrapperConfig, registries: Registries, path: string): ReadConfig {
  const { optimizer, paramwise, schedules } = config;
  const { type: _, wrap: __, ...written } = optimizer;
  const rule = readRule(optimizer, registries, `${path}.optimizer`);
  const rules = (Array.isArray(paramwise) ? (paramwise as readonly AnyParamRule[]) : []).map(
    (entry, index) =>
      entry.rule === undefined
        ? undefined
        : readRule(entry.rule, registries, `${path}.paramwise[${index}].rule`),
  );
  const all = [rule, ...rules].flatMap((found) => found?.hyperparameters ?? []);
  // How many updates an epoch has, buildScheduler is told.
  makeSchedules(schedules, registries, all, `${path}.schedules`, 1);
  return {
    config,
    path,
    rule,
    rules,
    written: hyperparameterEntries(written),
    wrapperOptions: wrapperOptions(config, path),
    lrFactor: lrFactor(config),
  };
}

function readRule(written: AnyOptimizerConfig, { rules }: Registries, path: string): UpdateRule {
  const { type, wrap: _, ...chosen } = written;
  const { definition, hyperparameters } = makeRule(rules, type);
  resolveHyperparameters(definition, hyperparameterEntries(hyperparameters), chosen, path);
  return makeWrapped(rules, written, path);
}

function wrapperOptions(config: WrapperSettings, path: string): OptimWrapperOptions {
  const { accumulativeCounts, clipGrad, lossScale, onNonFinite, gradNorm } = config;
  if (lossScale !== undefined) {
    within(`${path}.`, () => resolveLossScale(lossScale));
    if (onNonFinite !== undefined && onNonFinite !== "propagate") {
      refuse(
        "invalid-option",
        `${path}.onNonFinite`,
        '"propagate" or nothing beside lossScale',
        onNonFinite,
        {
          hint: "With a loss scale, steps with gradients that are not finite are always skipped",
        },
      );
    }
  }
  const infinite = clipGrad !== undefined && "normType" in clipGrad && clipGrad.normType === "inf";
  return Object.fromEntries(
    Object.entries({
      accumulativeCounts,
      clipGrad: infinite ? { ...clipGrad, normType: Number.POSITIVE_INFINITY } : clipGrad,
      lossScale,
      onNonFinite,
      gradNorm,
    }).filter(([, value]) => value !== undefined),
  );
}

function lrFactor({ scaleLr, accumulativeCounts = 1 }: WrapperSettings): number {
  return scaleLr === undefined ? 1 : (scaleLr.batchSize * accumulativeCounts) / scaleLr.baseBatchSize;
}
