import type { AnyOptimWrapper, HyperparameterValue } from "@mm/optim-core";
import type { HyperparametersByGroup, SavedRun } from "./run-store.ts";
import type { RunSchedulers } from "./schedulers.ts";
import { nameIn } from "./wrappers.ts";

type ByWrapper = SavedRun["hyperparameters"];

/** The numbers of every group, and the base settings, as of now. */
export function hyperparametersOf(wrappers: ReadonlyMap<string, AnyOptimWrapper>): ByWrapper {
  return Object.fromEntries(
    [...wrappers].map(([name, { paramGroups, baseParamSettings }]) => {
      const groups = paramGroups.map((group) => [`group "${group.name}"`, valuesOf(group)] as const);
      const base = baseParamSettings ? [["baseParamSettings", valuesOf(baseParamSettings)] as const] : [];
      return [name, Object.fromEntries<HyperparametersByGroup[string]>([...groups, ...base])];
    }),
  );
}

function valuesOf(group: object): { readonly [name: string]: HyperparameterValue } {
  const { name: _, params: __, ...values } = group as { readonly [name: string]: HyperparameterValue };
  return values;
}

/** Values that differ and that no schedule drives, by name: `generator.group "0".lr`. The load tells what only one of the two has. */
export function changedHyperparameters(
  now: ByWrapper,
  saved: ByWrapper,
  schedulers: RunSchedulers | undefined,
): readonly string[] {
  return Object.entries(now).flatMap(([wrapper, groups]) => {
    const driven = drivenBy(schedulers, wrapper);
    return Object.entries(groups).flatMap(([group, values]) => {
      const before = saved[wrapper]?.[group] ?? {};
      const changed = Object.keys(values).filter((name) => {
        const same = JSON.stringify(values[name]) === JSON.stringify(before[name]);
        return Object.hasOwn(before, name) && !same && !isDriven(name, values, driven);
      });
      return changed.map((name) => nameIn(wrapper, `${group}.${name}`));
    });
  });
}

/** The paths of a scheduler: `"lr"`, `"betas[0]"`, `"momentum"`. */
function drivenBy(schedulers: RunSchedulers | undefined, wrapper: string): readonly string[] {
  const scheduler = schedulers?.kind === "scheduler-dict" ? schedulers.get(wrapper as never) : schedulers;
  const state: { readonly hyperparameters?: object } | undefined = scheduler?.stateDict();
  return Object.keys(state?.hyperparameters ?? {});
}

/** Momentum is the first of the betas where a group has those. */
function isDriven(name: string, values: object, driven: readonly string[]): boolean {
  return driven.some((path) => {
    const [key] = path.split("[");
    return key === name || (key === "momentum" && name === "betas" && !("momentum" in values));
  });
}
