import { type AnyOptimWrapper, OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { anything, checkSchema, integerFrom, oneOf, type Schema } from "@mm/optim-core/schema";
import { changedHyperparameters, hyperparametersOf } from "./hyperparameters.ts";
import type { ResumeOptions } from "./run-options.ts";
import type { FoundRun, SavedRun } from "./run-store.ts";
import type { RunSchedulers } from "./schedulers.ts";
import type { Stateful } from "./stateful.ts";
import type { Wrappers } from "./wrappers.ts";

/** All that a run restores. */
export interface Restored {
  readonly optim: Wrappers;
  readonly wrappers: ReadonlyMap<string, AnyOptimWrapper>;
  readonly schedulers: RunSchedulers | undefined;
  readonly state: { readonly [name: string]: Stateful };
}

const schema = (): Schema => ({
  fields: {
    format: oneOf("optim-run"),
    version: oneOf(1),
    iteration: integerFrom(0),
    seconds: [(value: unknown) => Number.isFinite(value) && (value as number) >= 0, "seconds"],
    hyperparameters: { each: { each: { each: anything } } },
    state: { each: anything },
  },
});

/**
 * Checks everything, then loads everything.
 *
 * @throws OptimError `invalid-state`, `state-mismatch`; nothing has changed then
 */
export async function restoreRun(
  found: FoundRun,
  parts: Restored,
  options: ResumeOptions,
): Promise<SavedRun> {
  const run = found.run as SavedRun;
  const who = `resume: ${found.name}`;
  if ((run as unknown) === undefined) {
    refuse("invalid-state", who, "a checkpoint that a run saved, with what the run needs to go on", run, {
      hint: "Give the run a folder of its own",
    });
  }
  checkSchema("invalid-state", who, run, schema());
  requireNames(run, parts, who);
  const prepared = prepareSchedulers(run, parts, options, who);
  const isInitial = (changed: string): boolean => / of (group "|the base)/u.test(changed);
  const changed = prepared?.report.changed ?? [];
  const values = [
    ...changed.filter(isInitial),
    ...changedHyperparameters(hyperparametersOf(parts.wrappers), run.hyperparameters, parts.schedulers),
  ];
  requireChoice(
    "schedules",
    changed.filter((one) => !isInitial(one)),
    options,
    who,
  );
  requireChoice("hyperparameters", values, options, who);
  const undo = await loadState(run, parts.state);
  try {
    await found.restore(parts.optim, { restore: { hyperparameters: options.hyperparameters !== "program" } });
    // A load of wrappers writes hyperparameters, too.
    prepared?.commit();
  } catch (error) {
    await undo();
    throw error;
  }
  return run;
}

/** A part that nobody takes would be lost, and one that is not there would begin anew. */
function requireNames({ state, schedulers }: SavedRun, parts: Restored, who: string): void {
  const [saved, here] = [Object.keys(state), Object.keys(parts.state)];
  const missing = here.filter((name) => !saved.includes(name));
  const unexpected = saved.filter((name) => !here.includes(name));
  if (parts.schedulers && !schedulers) missing.push("schedulers");
  if (!parts.schedulers && schedulers) unexpected.push("schedulers");
  if (missing.length + unexpected.length === 0) return;
  throw new OptimError("state-mismatch", who, {
    expected: "the state of this run",
    received: [...missing.map((name) => `no ${name}`), ...unexpected].join(", "),
    hint: "A part that is not needed any more can be taken as plainState(undefined)",
    missing,
    unexpected,
  });
}

function prepareSchedulers(
  { schedulers: saved }: SavedRun,
  { schedulers }: Restored,
  { schedules, hyperparameters }: ResumeOptions,
  who: string,
) {
  try {
    return schedulers?.prepareLoad(saved as never, {
      restore: { schedules: schedules !== "program", initial: hyperparameters !== "program" },
    });
  } catch (error) {
    // Schedules of other kinds are a matter of choice, too.
    const { code, mismatched = [] } = error as Partial<OptimError>;
    if (code === "state-mismatch" && mismatched.length > 0)
      requireChoice("schedules", mismatched, {}, who, error);
    throw error;
  }
}

/** @throws OptimError `state-mismatch` for differences, unless the program says what holds */
function requireChoice(
  of: "schedules" | "hyperparameters",
  changed: readonly string[],
  options: ResumeOptions,
  who: string,
  cause?: unknown,
): void {
  if (changed.length === 0 || options[of] !== undefined) return;
  refuse("state-mismatch", who, `the ${of} that were saved`, changed.join(", "), {
    hint: `Say which hold: resume({ ${of}: "saved" }) or "program"`,
    mismatched: changed,
    cause,
  });
}

/** Loads all parts, or none. @returns what puts the old ones back */
async function loadState(
  run: SavedRun,
  state: { readonly [name: string]: Stateful },
): Promise<() => Promise<void>> {
  const parts = Object.entries(state);
  const before = await Promise.all(parts.map(async ([, part]) => part.stateDict()));
  let loaded = 0;
  const undo = async (): Promise<void> => {
    for (const [index, [, part]] of parts.slice(0, loaded).entries()) await part.loadStateDict(before[index]);
  };
  try {
    for (const [name, part] of parts) {
      await part.loadStateDict(run.state[name]);
      loaded += 1;
    }
  } catch (error) {
    await undo();
    throw error;
  }
  return undo;
}
