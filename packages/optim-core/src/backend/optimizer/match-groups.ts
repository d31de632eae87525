import type { HyperparameterRecord } from "../../hyperparameters.ts";
import type { GroupState } from "../../state.ts";
import { groupLabel, type HyperparameterGroup } from "../groups.ts";
import type { Differences } from "./differences.ts";

/** A group on either side of a load. */
interface Side<G> {
  readonly group: G;
  readonly name: string;
  /** Current names of its parameters. */
  readonly params: ReadonlySet<string>;
  /** Whether nobody gave it a name: it has its position for one. */
  readonly unnamed: boolean;
}

type Here = Side<HyperparameterGroup>;
type Saved = Side<GroupState>;

/**
 * Pairs groups with those of a state. Groups with names are paired by name. Where either has none, the two that share the most parameters
 * belong together; of several that share as many, none is chosen.
 */
export function matchGroups(
  groups: readonly HyperparameterGroup[],
  states: readonly GroupState[],
  rename: (saved: string) => string,
  found: Differences,
): ReadonlyMap<HyperparameterGroup, GroupState> {
  const here = groups.map((group, index) => sideOf(group, group.params, index));
  const saved = states.map((state, index) => sideOf(state, state.params.map(rename), index));
  found.differs("number of groups with names of their own:", saved.length, new Set(saved.map(nameOf)).size);
  const pairs = new Map<Here, Saved>();
  const pair = (a: Here, b: Saved): void => {
    pairs.set(a, b);
    here.splice(here.indexOf(a), 1);
    saved.splice(saved.indexOf(b), 1);
  };
  pairNamed(here, saved, pair);
  pairByParameters(here, saved, pair, found);
  // A copy: pairs leave the list.
  for (const a of here.slice()) {
    // A group that shares no parameter with any is known by its position alone.
    const b = saved.find(
      ({ name, unnamed, params }) => unnamed && name === a.name && shared(a.params, params) === 0,
    );
    if (b !== undefined) pair(a, b);
  }
  found.missing.push(...here.map(({ name }) => groupLabel(name)));
  found.unexpected.push(...saved.map(({ name }) => groupLabel(name)));
  const groupOf = new Map(groups.flatMap((group) => group.params.map((name) => [name, group] as const)));
  for (const [a, b] of pairs) noteMoved(a, b, groupOf, found);
  return new Map([...pairs].map(([a, b]) => [a.group, b.group]));
}

function sideOf<G extends { readonly name: string }>(
  group: G,
  params: readonly string[],
  index: number,
): Side<G> {
  const { name } = group;
  return { group, name, params: new Set(params), unnamed: name === String(index) };
}

const nameOf = ({ name }: { readonly name: string }): string => name;

const shared = (a: ReadonlySet<string>, b: ReadonlySet<string>): number =>
  [...a].filter((name) => b.has(name)).length;

function pairNamed(here: readonly Here[], saved: readonly Saved[], pair: (a: Here, b: Saved) => void): void {
  for (const a of here.filter(({ unnamed }) => !unnamed)) {
    const b = saved.find(({ name, unnamed }) => !unnamed && name === a.name);
    if (b !== undefined) pair(a, b);
  }
}

function pairByParameters(
  here: readonly Here[],
  saved: readonly Saved[],
  pair: (a: Here, b: Saved) => void,
  found: Differences,
): void {
  const candidates = here
    .flatMap((a) => saved.map((b) => ({ a, b, count: shared(a.params, b.params) })))
    .filter(({ a, b, count }) => count > 0 && (a.unnamed || b.unnamed))
    .sort((one, other) => other.count - one.count);
  for (const { a, b, count } of candidates) {
    if (!here.includes(a) || !saved.includes(b)) continue;
    const rivals = candidates.filter(
      (other) =>
        other.count === count &&
        (other.a === a) !== (other.b === b) &&
        here.includes(other.a) &&
        saved.includes(other.b),
    );
    if (rivals.length > 0) {
      found.mismatched.push(
        `${groupLabel(a.name)}: shares ${count} parameters with more than one group of the state (name the groups)`,
      );
    }
    pair(a, b);
  }
}

/** A parameter that was saved in another group than that which its own is paired with. */
function noteMoved(
  a: Here,
  b: Saved,
  groupOf: ReadonlyMap<string, HyperparameterGroup>,
  found: Differences,
): void {
  for (const name of b.params) {
    const now = groupOf.get(name);
    if (now !== undefined && now !== a.group) {
      found.mismatched.push(`${name}: ${groupLabel(b.name)} saved, ${groupLabel(now.name)} here`);
    }
  }
}

/**
 * The values that a group takes from a state, checked; the group's own for hyperparameters that the state lacks. `undefined` where the rule
 * refuses them.
 */
export function matchHyperparameters(
  label: string,
  group: HyperparameterGroup,
  saved: HyperparameterRecord,
  found: Differences,
): HyperparameterRecord | undefined {
  const known: Record<string, HyperparameterRecord[string]> = {};
  for (const [name, value] of Object.entries(saved)) {
    if (Object.hasOwn(group.values, name)) known[name] = value;
    else found.unknown.push(`${label}.${name}`);
  }
  for (const [name, value] of Object.entries(group.values)) {
    if (!Object.hasOwn(known, name)) found.defaulted.push(`${label}.${name}`);
    else if (String(known[name]) !== String(value)) found.changed.push(`${label}.${name}`);
  }
  try {
    return group.check(known, label);
  } catch (error) {
    found.mismatched.push((error as Error).message);
    return undefined;
  }
}
