import { refuse } from "../errors.ts";
import type { HyperparameterRecord } from "../hyperparameters.ts";
import { isFinite32 } from "../schema.ts";

type Flags = { readonly [name: string]: boolean };

/** A definition that nobody has checked yet: a rule may be written without types. */
interface Unchecked {
  readonly name: string;
  readonly hyperparameters: HyperparameterRecord;
  readonly structure?: (hyperparameters: HyperparameterRecord) => Flags;
  readonly shapes?: unknown;
  readonly slots?: (structure: Flags) => { readonly [slot: string]: unknown };
  readonly scalarSlots?: (
    hyperparameters: HyperparameterRecord,
    structure: Flags,
  ) => { readonly [slot: string]: unknown };
}

/** Keys that a group of parameters has beside its hyperparameters. */
const takenByGroups = ["name", "params", "rule", "shapes"];
/** `update` finds other things by these names; `master` and `trained` are vectors that core adds. */
const takenFromSlots = ["param", "grad", "step", "size", "rows", "cols", "master", "trained"];
const beginnings = { slots: 'a number to begin with, or "param"', scalarSlots: "a number to begin with" };
const identifier = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/**
 * Refuses what could only go wrong later, and then without the name of the rule.
 *
 * @throws OptimError `invalid-rule`
 */
export function checkDefinition(definition: Unchecked): void {
  const { name, hyperparameters, structure, shapes, slots, scalarSlots } = definition;
  const need = (fine: boolean, where: string, expected: string, received: unknown): void => {
    if (!fine) refuse("invalid-rule", where, expected, received);
  };
  need(typeof name === "string" && name !== "", "defineUpdateRule: name", "a name, such as AdamW", name);

  const own = `${name}: hyperparameters`;
  need(isRecord(hyperparameters), own, "an object", hyperparameters);
  need(isFinite32(hyperparameters["lr"]), own, "lr, a finite number, among them", hyperparameters["lr"]);
  for (const [key, value] of Object.entries(hyperparameters)) {
    need(
      identifier.test(key) && !takenByGroups.includes(key),
      own,
      `names that are an identifier, and none of ${takenByGroups.join(", ")}`,
      key,
    );
    need(
      typeof value === "boolean" || [value].flat().every(isFinite32),
      `${own}.${key}`,
      "a finite number, a boolean or an array of finite numbers",
      value,
    );
  }
  const known = shapes === undefined || shapes === "matrix" || shapes === "either";
  need(known, `${name}: shapes`, '"matrix", "either" or nothing', shapes);
  for (const key of ["update", "evaluate", "check", "structure", "slots", "scalarSlots"]) {
    const value: unknown = definition[key as keyof Unchecked];
    const absent = value === undefined && key !== "update";
    need(absent || typeof value === "function", `${name}: ${key}`, "a function", value);
  }

  const all = { slots: new Set<string>(), scalarSlots: new Set<string>() };
  const along = new Map<string, unknown>();
  const collect = (kind: keyof typeof all, made: { readonly [slot: string]: unknown } = {}): void => {
    for (const [slot, initial] of Object.entries(made)) {
      const where = `${name}: ${kind}.${slot}`;
      const [free, taken] = [!takenFromSlots.includes(slot), takenFromSlots.join(", ")];
      need(free, where, `a name that is none of ${taken}`, slot);
      const mayDerive = kind === "slots" && typeof initial === "function";
      const isAlong = kind === "slots" && isRecord(initial) && isSlotAlong(initial as object);
      const isShared =
        kind === "scalarSlots" && isRecord(initial) && typeof (initial as Shared).shared === "function";
      if (isAlong)
        need(shapes !== undefined, where, 'shapes: "matrix" or "either" in the definition', shapes);
      const per = isAlong
        ? (initial as { readonly per: unknown }).per
        : kind === "slots"
          ? "element"
          : isShared
            ? "rule"
            : "tensor";
      const before = along.get(`${kind}.${slot}`) ?? per;
      need(
        before === per,
        where,
        `one number per ${String(before)} in every structure, or another name`,
        per,
      );
      along.set(`${kind}.${slot}`, per);
      const value: unknown = mayDerive
        ? (initial as (h: unknown) => unknown)(hyperparameters)
        : isAlong || isShared
          ? (initial as { readonly initial: unknown }).initial
          : initial;
      const isParam = kind === "slots" && value === "param";
      need(isParam || (typeof value === "number" && !Number.isNaN(value)), where, beginnings[kind], value);
      all[kind].add(slot);
    }
  };
  const booleans = Object.keys(hyperparameters).filter((key) => typeof hyperparameters[key] === "boolean");
  const flagged = [...booleans, ...Object.keys(structure?.(hyperparameters) ?? {})];
  need(
    !flagged.includes("matrix"),
    `${name}: structure`,
    "a flag of another name: backends set matrix",
    "matrix",
  );
  for (const flags of everyStructure(shapes === undefined ? flagged : [...flagged, "matrix"])) {
    collect("slots", slots?.(flags));
    collect("scalarSlots", scalarSlots?.(hyperparameters, flags));
  }
  for (const slot of all.scalarSlots)
    need(!all.slots.has(slot), `${name}: scalarSlots.${slot}`, "a name that no slot has", slot);
}

interface Shared {
  readonly shared?: unknown;
}
const isSlotAlong = ({ per }: { readonly per?: unknown }): boolean => per === "row" || per === "column";
const isRecord = (value: unknown): boolean => ({}).toString.call(value) === "[object Object]";

/** All combinations of these switches. */
export function* everyStructure(switches: readonly string[]): Generator<Flags> {
  for (let bits = 0; bits < 1 << switches.length; bits += 1)
    yield Object.fromEntries(switches.map((name, index) => [name, (bits & (1 << index)) !== 0]));
}
