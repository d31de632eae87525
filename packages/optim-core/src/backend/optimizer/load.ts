import type { StateEngine } from "../engine.ts";
import { isOptimError } from "../../errors.ts";
import type { HyperparameterRecord } from "../../hyperparameters.ts";
import { migrated, optimizerMigrations } from "../../migrate.ts";
import {
  anything,
  aNumber,
  aPositive,
  aString,
  aTensor,
  checkSchema,
  integerFrom,
  oneOf,
  type Schema,
} from "../../schema.ts";
import type { LoadOptions, OptimizerStateDict, PreparedLoad } from "../../state.ts";
import { groupLabel, type HyperparameterGroup } from "../groups.ts";
import { Differences } from "./differences.ts";
import { install, type StagedState, vectorOf } from "./install.ts";
import { matchGroups, matchHyperparameters } from "./match-groups.ts";
import { compareRules, matchParameters, stageParameter } from "./match-parameters.ts";
import type { OptimizerParts } from "./parts.ts";
import { allocateSlot } from "./slots.ts";

/** Checks and stages a state. Nothing of the optimizer changes before `commit()`. */
export function prepareOptimizerState<P, V, S>(
  parts: OptimizerParts<P, V, S>,
  given: OptimizerStateDict,
  options: LoadOptions,
  committed: (() => void) | undefined,
): PreparedLoad {
  const { engine, lifecycle } = parts;
  const saved = migrated(given, optimizerMigrations);
  checkSchema("invalid-state", "state", saved, stateSchema());
  const found = new Differences();
  const staged = stage(parts, saved, options, found);
  if (options.strict !== false) found.refuse("prepareLoad");
  allocateFresh(engine, staged);
  lifecycle.loading = true;
  const report = found.report();
  let done = false;
  const end = (take: boolean): typeof report => {
    if (done) return report;
    done = true;
    lifecycle.loading = false;
    if (take && !lifecycle.disposed) {
      install(parts, staged);
      committed?.();
    } else {
      releaseFresh(engine, staged);
    }
    return report;
  };
  return { commit: () => end(true), dispose: () => void end(false) };
}

/** Copies all that the optimizer will take, and notes all that differs. */
function stage<P, V, S>(
  { engine, rule, set }: OptimizerParts<P, V, S>,
  saved: OptimizerStateDict,
  { rename = (name) => name, restore = {} }: LoadOptions,
  found: Differences,
): StagedState<P, V, S> {
  found.differs("rule:", saved.rule, rule);
  const values = new Map<HyperparameterGroup, HyperparameterRecord>();
  const take = (label: string, group: HyperparameterGroup, hyperparameters: HyperparameterRecord): void => {
    const next = matchHyperparameters(label, group, hyperparameters, found);
    if (next !== undefined) values.set(group, next);
  };
  if (restore.hyperparameters !== false) {
    for (const [group, { hyperparameters }] of matchGroups(set.groups, saved.groups, rename, found)) {
      take(groupLabel(group.name), group, hyperparameters);
    }
    if (set.base && saved.baseParamSettings) take("baseParamSettings", set.base, saved.baseParamSettings);
  }
  const withCounts = restore.counts !== false;
  const withPending = restore.pending !== false && withCounts;
  const pairs = matchParameters(set.parameters, saved.params, rename, found);
  compareRules(pairs, saved, (group) => set.ownRuleOf(group), found);
  return {
    values,
    parameters: pairs.map(([parameter, state]) =>
      stageParameter(parameter, state, values.get(parameter.group), withPending, found),
    ),
    pendingScale: withPending ? saved.pendingScale : undefined,
    frozen: restore.frozen === false ? undefined : matchFrozen(set.parameters, saved.frozen, rename, found),
    counts: withCounts ? { steps: saved.steps, skipped: saved.skipped } : undefined,
    commitNative: prepareNative(engine, saved.native ?? {}, found),
  };
}

function matchFrozen(
  parameters: readonly { readonly name: string; readonly frozen: boolean }[],
  saved: readonly string[] | undefined,
  rename: (saved: string) => string,
  found: Differences,
): ReadonlySet<string> | undefined {
  if (saved === undefined) return undefined;
  const frozen = new Set(saved.map(rename));
  if (parameters.some((parameter) => parameter.frozen !== frozen.has(parameter.name))) {
    found.changed.push("frozen");
  }
  return frozen;
}

function prepareNative<P, V, S>(
  engine: StateEngine<P, V, S>,
  native: { readonly [name: string]: Float32Array },
  found: Differences,
): (() => void) | undefined {
  try {
    return engine.prepareNative?.(native);
  } catch (error) {
    if (!isOptimError(error) || error.mismatched === undefined) throw error;
    found.mismatched.push(...error.mismatched.map((name) => `native.${name}`));
    return undefined;
  }
}

/** Makes the vectors that parameters lack, or none where there is no room. */
function allocateFresh<P, V, S>(engine: StateEngine<P, V, S>, staged: StagedState<P, V, S>): void {
  try {
    for (const { parameter, data, fresh } of staged.parameters) {
      for (const slot of data.keys()) {
        if (vectorOf(parameter, slot) === undefined)
          fresh.set(slot, allocateSlot(engine, parameter, slot, 0));
      }
    }
  } catch (error) {
    releaseFresh(engine, staged);
    throw error;
  }
}

function releaseFresh<P, V, S>(engine: StateEngine<P, V, S>, { parameters }: StagedState<P, V, S>): void {
  for (const { fresh } of parameters) for (const vector of fresh.values()) engine.release(vector);
}

const stateSchema = (): Schema => {
  const aCount = integerFrom(0);
  return {
    fields: {
      format: oneOf("optim-optimizer"),
      version: oneOf(optimizerMigrations.length + 1),
      rule: aString,
      groups: {
        items: {
          fields: {
            name: aString,
            params: { items: aString },
            "rule?": aString,
            hyperparameters: { each: anything },
          },
        },
      },
      params: {
        items: {
          fields: {
            name: aString,
            shape: { items: aCount },
            step: aCount,
            slots: { each: aTensor },
            scalarSlots: { each: aNumber },
            "gradient?": aTensor,
          },
        },
      },
      "baseParamSettings?": { each: anything },
      "pendingScale?": aPositive,
      "frozen?": { items: aString },
      steps: aCount,
      skipped: aCount,
      "native?": { each: aTensor },
    },
  };
};
