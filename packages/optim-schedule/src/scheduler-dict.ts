import { type AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { anything, checkSchema, oneOf } from "@mm/optim-core/schema";
import { LiveScheduler } from "./live-scheduler.ts";
import type { Progress } from "./progress.ts";
import { readOptions } from "./options.ts";
import type { HyperparametersOf, SchedulePlan, Scheduler, SchedulerOptions } from "./scheduler.ts";
import {
  loadOptionsSchema,
  type PreparedSchedulerLoad,
  type SchedulerDictStateDict,
  type SchedulerLoadOptions,
  type SchedulerLoadReport,
} from "./state.ts";

/** By wrapper name, what {@link SchedulePlan} says. A wrapper that is not named keeps its hyperparameters, and is counted all the same. */
export type SchedulePlans<E extends readonly [string, unknown]> = {
  readonly [K in E[0]]?: SchedulePlan<HyperparametersOf<Extract<E, readonly [K, unknown]>[1]>>;
};

/** A scheduler for each of several wrappers, by name. Updates are counted per wrapper: `schedulers.get("generator").step(result)`. */
export interface SchedulerDict<Name extends string = string> {
  readonly kind: "scheduler-dict";
  /** @throws OptimError `unknown-name` */
  get(name: Name): Scheduler;
  readonly size: number;
  [Symbol.iterator](): IterableIterator<[Name, Scheduler]>;
  /** An epoch of all. */
  stepEpoch(): void;
  /** `apply()` of all. */
  apply(): void;
  /** `dispose()` of all. */
  dispose(): void;
  /** A copy. Does not wait for anything. */
  stateDict(): SchedulerDictStateDict<Name>;
  /**
   * All take their part of the state, or none does. `strict` (default) wants exactly these names. The report has
   * `generator.lr[0].length`.
   *
   * @throws OptimError as `loadStateDict` of {@link Scheduler}
   */
  loadStateDict(state: SchedulerDictStateDict, options?: SchedulerLoadOptions): SchedulerLoadReport;
  /** Checks everything that `loadStateDict` would, of all, and changes nothing. @throws OptimError as `loadStateDict` */
  prepareLoad(state: SchedulerDictStateDict, options?: SchedulerLoadOptions): PreparedSchedulerLoad;
}

/**
 * Puts schedules on several wrappers, such as those of an `OptimWrapperDict`.
 *
 * @example
 * ```ts
 * const schedulers = createSchedulerDict(optim, {
 *   generator: { lr: cosine({ length: 10_000 }) },
 *   discriminator: { lr: step({ stepSize: 1000, gamma: 0.5 }), momentum: constant({ factor: 0.5, length: 100 }) },
 * });
 * schedulers.get("generator").step(optim.get("generator").updateParams(() => generatorLoss(batch)));
 * ```
 *
 * @throws OptimError as `createScheduler`; `unknown-name` for a plan without a wrapper, `invalid-name` for a name that is there twice,
 * `duplicate-wrapper` for one wrapper under two names. Nothing has changed then
 */
export function createSchedulerDict<const E extends readonly [string, AnyOptimWrapper]>(
  wrappers: Iterable<E>,
  plans: NoInfer<SchedulePlans<E>>,
  options: SchedulerOptions = {},
): SchedulerDict<E[0]> {
  const { where, replace } = readOptions(options, "createSchedulerDict");
  const schedulers = createAll(wrappers, plans, { where, replace });
  const list = (): string => [...schedulers.keys()].join(", ");
  const moveAll = (
    call: string,
    nexts: readonly (readonly [LiveScheduler, Progress | undefined])[],
  ): void => {
    const undo: (() => void)[] = [];
    try {
      for (const [scheduler, next] of nexts) {
        scheduler.guard(call);
        undo.push(scheduler.move(next));
      }
    } catch (error) {
      for (const one of undo.reverse()) one();
      throw error;
    }
  };
  const dict: SchedulerDict = {
    kind: "scheduler-dict",
    get: (name) => schedulers.get(name) ?? refuse("unknown-name", where, `one of ${list()}`, name),
    size: schedulers.size,
    [Symbol.iterator]: () => schedulers.entries(),
    stepEpoch: () =>
      moveAll(
        "schedulers.stepEpoch",
        [...schedulers.values()].map((scheduler) => [scheduler, scheduler.afterEpoch()]),
      ),
    apply: () =>
      moveAll(
        "schedulers.apply",
        [...schedulers.values()].map((scheduler) => [scheduler, undefined]),
      ),
    dispose() {
      for (const scheduler of schedulers.values()) scheduler.dispose();
    },
    stateDict: () => ({
      format: "optim-scheduler-dict",
      version: 1,
      schedulers: Object.fromEntries([...schedulers].map(([name, one]) => [name, one.stateDict()])),
    }),
    loadStateDict(state, options = {}) {
      const { staged, report } = stageAll(schedulers, state, options);
      moveAll("schedulers.loadStateDict", staged);
      return report;
    },
    prepareLoad(state, options = {}) {
      const { staged, report } = stageAll(schedulers, state, options);
      for (const [scheduler, next] of staged) {
        scheduler.guard("schedulers.prepareLoad");
        scheduler.tryValues(next);
      }
      return {
        report,
        commit() {
          moveAll("schedulers.prepareLoad", staged);
          return report;
        },
      };
    },
  };
  for (const scheduler of schedulers.values()) scheduler.tryTurns();
  dict.apply();
  return dict;
}

function createAll(
  wrappers: Iterable<readonly [string, AnyOptimWrapper]>,
  plans: object,
  { where, replace }: Required<SchedulerOptions>,
): ReadonlyMap<string, LiveScheduler> {
  checkSchema("invalid-option", where, plans, { each: anything });
  if (typeof (Object(wrappers) as typeof wrappers)[Symbol.iterator] !== "function") {
    refuse("invalid-option", where, "pairs of a name and a wrapper, such as an OptimWrapperDict", wrappers);
  }
  const given = new Map<string, object | undefined>(Object.entries(plans));
  const schedulers = new Map<string, LiveScheduler>();
  const names = new Map<AnyOptimWrapper, string>();
  for (const [name, wrapper] of wrappers) {
    const place = `${where}.${name}`;
    if (schedulers.has(name)) refuse("invalid-name", where, "every name once", name);
    const other = names.get(wrapper);
    if (other !== undefined) refuse("duplicate-wrapper", place, `another wrapper than ${other}`, wrapper);
    names.set(wrapper, name);
    const plan = given.get(name);
    schedulers.set(
      name,
      new LiveScheduler(wrapper, plan === undefined ? {} : plan, { where: place, replace }),
    );
  }
  const unknown = [...given.keys()].find((name) => !schedulers.has(name));
  if (unknown !== undefined) {
    refuse("unknown-name", where, `one of ${[...schedulers.keys()].join(", ")}`, unknown);
  }
  return schedulers;
}

type Staged = readonly [scheduler: LiveScheduler, next: Progress];

/** @throws OptimError for a state that does not fit */
function stageAll(
  schedulers: ReadonlyMap<string, LiveScheduler>,
  state: SchedulerDictStateDict,
  options: SchedulerLoadOptions,
): { readonly staged: readonly Staged[]; readonly report: SchedulerLoadReport } {
  checkSchema("invalid-option", "loadStateDict", options, loadOptionsSchema());
  checkSchema("invalid-state", "state", state, {
    fields: { format: oneOf("optim-scheduler-dict"), version: oneOf(1), schedulers: { each: anything } },
  });
  const saved = new Map(Object.entries(state.schedulers));
  const missing = [...schedulers.keys()].filter((name) => !saved.has(name));
  const unexpected = [...saved.keys()].filter((name) => !schedulers.has(name));
  if (options.strict !== false && missing.length + unexpected.length > 0) {
    const names = [...schedulers.keys()].join(", ");
    refuse("state-mismatch", "state", `the schedulers ${names}`, [...saved.keys()].join(", "), {
      missing,
      unexpected,
    });
  }
  const all = [...schedulers].flatMap(([name, scheduler]) => {
    const part = saved.get(name);
    if (part === undefined) return [];
    const { next, report } = scheduler.stageLoad(part, options, `state.schedulers.${name}`);
    return [{ name, scheduler, next, report }];
  });
  const together = (of: keyof SchedulerLoadReport): readonly string[] =>
    all.flatMap(({ name, report }) => report[of].map((inner) => `${name}.${inner}`));
  return {
    staged: all.map(({ scheduler, next }) => [scheduler, next]),
    report: {
      missing: [...missing, ...together("missing")],
      unexpected: [...unexpected, ...together("unexpected")],
      changed: together("changed"),
    },
  };
}
