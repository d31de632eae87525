import { type AnyOptimWrapper, isOptimError, OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { aNumber, checkSchema, integerFrom } from "@mm/optim-core/schema";
import { groupsNamedIn } from "./by-group.ts";
import { driveOf, noteDrive } from "./drives.ts";
import { isOfWrapper, type Settings } from "./hyperparameter.ts";
import { type StagedLoad, stageLoad, toStateDict } from "./load.ts";
import {
  baseKey,
  type GroupKey,
  type Joined,
  type Progress,
  readPlan,
  type Track,
  valueOf,
} from "./progress.ts";
import type { ScheduleCounts, ScheduleState } from "./schedule.ts";
import type { Scheduler, SchedulerOptions } from "./scheduler.ts";
import type {
  PreparedSchedulerLoad,
  SchedulerLoadOptions,
  SchedulerLoadReport,
  SchedulerStateDict,
} from "./state.ts";

export class LiveScheduler implements Scheduler {
  readonly kind = "scheduler";
  readonly #wrapper: AnyOptimWrapper;
  readonly #where: string;
  #progress: Progress;
  /** Whether the groups were taken over: from then on, what another scheduler took from this one stays the other's. */
  #begun = false;
  #disposed = false;

  /** Writes nothing: `apply()` does. */
  constructor(wrapper: AnyOptimWrapper, plan: object, { where, replace = false }: NamedOptions) {
    if ((wrapper as Partial<AnyOptimWrapper> | null | undefined)?.kind !== "optim-wrapper") {
      refuse("invalid-wrapper", where, "an OptimWrapper (for a dict: createSchedulerDict)", wrapper);
    }
    this.#wrapper = wrapper;
    this.#where = where;
    const settings = this.#settings();
    const tracks = readPlan(
      where,
      plan,
      settings.map(([, group]) => group),
    );
    for (const track of tracks) {
      requireGroups(where, track, settings);
      if (!replace) requireNotDriven(where, track, settings);
    }
    this.#progress = this.#withGroups({ updates: 0, epochs: 0, tracks });
  }

  get updates(): number {
    return this.#progress.updates;
  }

  get epochs(): number {
    return this.#progress.epochs;
  }

  step(result: { readonly updated: boolean }): void {
    const { updated } = Object(result) as typeof result;
    if (typeof updated !== "boolean")
      refuse("invalid-option", "scheduler.step", "the result of updateParams or flush", result);
    this.guard("scheduler.step");
    if (updated) this.move({ ...this.#progress, updates: this.updates + 1 });
  }

  stepEpoch(): void {
    this.guard("scheduler.stepEpoch");
    this.move(this.afterEpoch());
  }

  afterEpoch(): Progress {
    return { ...this.#progress, epochs: this.epochs + 1 };
  }

  observe(measure: number): void {
    checkSchema("invalid-option", "observe", measure, aNumber);
    this.guard("scheduler.observe");
    const tracks = this.#progress.tracks.map((track) => ({
      ...track,
      states: track.schedules.map(({ observe }, index) =>
        observe(track.states[index] as ScheduleState, measure),
      ),
    }));
    this.move({ ...this.#progress, tracks });
  }

  rewind(skipped: number): void {
    checkSchema("invalid-option", "rewind", skipped, integerFrom(0));
    this.guard("scheduler.rewind");
    if (skipped > this.updates) {
      refuse("invalid-option", "rewind", `at most ${this.updates}, the updates that were counted`, skipped);
    }
    this.move({ ...this.#progress, updates: this.updates - skipped });
  }

  apply(): void {
    this.guard("scheduler.apply");
    this.move();
  }

  at(counts: ScheduleCounts): { readonly [path: string]: readonly number[] } {
    const fields = { updates: integerFrom(0), "epochs?": integerFrom(0) };
    checkSchema("invalid-option", "at", counts, { fields });
    const { updates, epochs = 0 } = counts;
    return Object.fromEntries(
      this.#withGroups(this.#progress).tracks.map((track) => [
        track.hyperparameter.path,
        this.#keysOf(track).map(
          (key, index) => valueOf({ updates, epochs }, track, key, index) ?? Number.NaN,
        ),
      ]),
    );
  }

  #keysOf({ hyperparameter: { path } }: Track): readonly GroupKey[] {
    return isOfWrapper(path) ? [baseKey] : this.#wrapper.paramGroups.map(({ name }) => name);
  }

  stateDict(): SchedulerStateDict {
    return toStateDict(this.#withGroups(this.#progress));
  }

  loadStateDict(state: SchedulerStateDict, options: SchedulerLoadOptions = {}): SchedulerLoadReport {
    this.guard("scheduler.loadStateDict");
    const { next, report } = this.stageLoad(state, options, "state");
    this.move(next);
    return report;
  }

  prepareLoad(state: SchedulerStateDict, options: SchedulerLoadOptions = {}): PreparedSchedulerLoad {
    this.guard("scheduler.prepareLoad");
    const { next, report } = this.stageLoad(state, options, "state");
    this.tryValues(next);
    return {
      report,
      commit: () => {
        this.guard("scheduler.prepareLoad");
        this.move(next);
        return report;
      },
    };
  }

  /** Writes the values of `next` and puts back those of now. @throws what the rule refuses a value with */
  tryValues(next: Progress): void {
    undo(this.#write(this.#withGroups(next)));
  }

  /** @throws OptimError for a state that does not fit */
  stageLoad(state: SchedulerStateDict, options: SchedulerLoadOptions, where: string): StagedLoad {
    return stageLoad(this.#withGroups(this.#progress), state, options, where);
  }

  dispose(): void {
    this.#disposed = true;
  }

  /**
   * Tries the values of all counts at which a schedule begins, turns or ends, and puts back those of now: a run should not find out at its end
   * that the rule refuses the last one.
   *
   * @throws what the rule refuses a value with, and the count; nothing has changed then
   */
  tryTurns(): void {
    const { tracks } = this.#progress;
    const schedules = tracks.flatMap((track) => track.schedules);
    const turnsBy = (unit: "update" | "epoch"): readonly number[] => [
      ...new Set([0, ...schedules.flatMap(({ by, turns }) => (by === unit ? turns : []))]),
    ];
    const updates = turnsBy("update");
    const last = Math.max(...updates);
    // One way through both counts: that of updates first, then that of epochs.
    const places = [
      ...updates.map((count) => ({ updates: count, epochs: 0 })),
      ...turnsBy("epoch").map((count) => ({ updates: last, epochs: count })),
    ];
    for (const counts of places) {
      const at = `after ${counts.updates} updates${counts.epochs > 0 ? ` and ${counts.epochs} epochs` : ""}`;
      within(`${this.#where}, ${at}: `, () => this.tryValues({ ...counts, tracks }));
    }
  }

  /**
   * Writes the values of `next` and takes it.
   *
   * @returns what undoes it
   * @throws what the rule refuses a value with; nothing has changed then
   */
  move(next: Progress = this.#progress): () => void {
    const [before, begun] = [this.#progress, this.#begun];
    const progress = this.#withGroups(next);
    const restores = this.#write(progress);
    restores.push(...this.#noteDrives(progress));
    this.#progress = progress;
    this.#begun = true;
    return () => {
      undo(restores);
      this.#progress = before;
      this.#begun = begun;
    };
  }

  /** @returns what puts the old values back, in order. @throws what the rule refuses a value with; nothing has changed then */
  #write(progress: Progress): (() => void)[] {
    const restores: (() => void)[] = [];
    try {
      for (const { hyperparameter, settings, value } of this.#driven(progress)) {
        const old = hyperparameter.read(settings) as number;
        if (value === old) continue;
        hyperparameter.write(settings, value);
        restores.push(() => hyperparameter.write(settings, old));
      }
    } catch (error) {
      undo(restores);
      throw error;
    }
    return restores;
  }

  /** Notes on every group what was written. @returns what takes the notes back, in order */
  #noteDrives(progress: Progress): (() => void)[] {
    return this.#driven(progress).map(({ track, key, settings, initial, value }) =>
      noteDrive(settings, key, {
        owner: this,
        isLive: () => !this.#disposed && this.#isUnderWay(track),
        initial,
        written: value,
      }),
    );
  }

  /** The numbers that are this scheduler's to write, with their values. */
  #driven(progress: Progress): readonly DrivenNumber[] {
    return progress.tracks.flatMap((track) =>
      this.#settings().flatMap(([group, settings], index) => {
        const { hyperparameter, initial: all } = track;
        const [key, value, initial] = [
          hyperparameter.keyIn(settings),
          valueOf(progress, track, group, index),
          all.get(group),
        ];
        if (key === undefined || value === undefined || initial === undefined) return [];
        const owner = driveOf(settings, key)?.owner ?? this;
        if (this.#begun && owner !== this) return [];
        return [{ track, hyperparameter, settings, key, initial, value }];
      }),
    );
  }

  /** Whether a schedule of this hyperparameter is not over yet. */
  #isUnderWay({ hyperparameter: { path } }: Track): boolean {
    const { updates, epochs, tracks } = this.#progress;
    return tracks.some(
      ({ hyperparameter, schedules }) =>
        hyperparameter.path === path &&
        schedules.some(({ by, end }) => (by === "epoch" ? epochs : updates) < end),
    );
  }

  /** @throws OptimError `disposed` */
  guard(call: string): void {
    if (this.#disposed) refuse("disposed", call, "a scheduler that was not disposed", this);
  }

  /** All groups, the base settings among them, and the wrapper, which has a number of its own. */
  #settings(): readonly (readonly [GroupKey, Settings])[] {
    const { paramGroups, baseParamSettings } = this.#wrapper;
    const others = [baseParamSettings, this.#wrapper].flatMap((settings) =>
      settings ? [[baseKey, settings as unknown as Settings] as const] : [],
    );
    return [...paramGroups.map((group) => [group.name, group as unknown as Settings] as const), ...others];
  }

  /** How far the schedules of a hyperparameter are, before they move. */
  #placeOf({ hyperparameter: { path }, states }: Track): Joined {
    const { updates, epochs, tracks } = this.#progress;
    const current = tracks.find(({ hyperparameter }) => hyperparameter.path === path);
    return { updates, epochs, states: current?.states ?? states };
  }

  /**
   * Groups that were not seen before begin with what they hold, or with what an earlier scheduler began with. Once the schedules are under
   * way they join at the count of now; the base settings, which stand for the rule's own values, never do.
   */
  #withGroups(progress: Progress): Progress {
    const settings = this.#settings();
    const tracks = progress.tracks.map((track) => {
      const unseen = settings.filter(([group]) => !track.initial.has(group));
      if (unseen.length === 0) return track;
      const found = unseen.flatMap(([group, of]) => {
        const initial = initialOf(track, of);
        return initial === undefined ? [] : [[group, initial] as const];
      });
      const joining = this.#begun ? found.filter(([group]) => group !== baseKey) : [];
      const joined = joining.map(([group]) => [group, this.#placeOf(track)] as const);
      return {
        ...track,
        initial: new Map([...track.initial, ...found]),
        joined: new Map([...track.joined, ...joined]),
      };
    });
    return { ...progress, tracks };
  }
}

/** One number of one group, and what it shall be. */
interface DrivenNumber extends Pick<Track, "hyperparameter"> {
  readonly track: Track;
  readonly settings: Settings;
  readonly key: string;
  readonly initial: number;
  readonly value: number;
}

type NamedOptions = SchedulerOptions & { readonly where: string };

/** The number that an earlier scheduler began with, where the group still holds what that one wrote; else what it holds. */
function initialOf({ hyperparameter }: Track, settings: Settings): number | undefined {
  const key = hyperparameter.keyIn(settings);
  const held = hyperparameter.read(settings);
  const drive = key === undefined ? undefined : driveOf(settings, key);
  return drive && drive.written === held ? drive.initial : held;
}

/** Options that name a group which is not there would do nothing. @throws OptimError `unknown-name` */
function requireGroups(
  where: string,
  { hyperparameter: { path }, schedules }: Track,
  settings: readonly (readonly [GroupKey, Settings])[],
): void {
  const names = settings.flatMap(([key]) => (typeof key === "string" ? [key] : []));
  for (const [index, { options }] of schedules.entries()) {
    for (const [option, group] of groupsNamedIn(options)) {
      if (names.includes(group)) continue;
      const place = `${where}.${path}${schedules.length > 1 ? `[${index}]` : ""}.${option}`;
      refuse("unknown-name", place, `the name of a group: ${names.join(", ")}`, group);
    }
  }
}

/** @throws OptimError `invalid-option` where another scheduler is under way */
function requireNotDriven(
  where: string,
  { hyperparameter }: Track,
  settings: readonly (readonly [GroupKey, Settings])[],
): void {
  for (const [group, of] of settings) {
    const key = hyperparameter.keyIn(of);
    if (key === undefined || driveOf(of, key)?.isLive() !== true) continue;
    const name = group === baseKey ? "the base settings" : `group ${JSON.stringify(group)}`;
    const { path } = hyperparameter;
    refuse(
      "invalid-option",
      `${where}.${path}`,
      "a hyperparameter that no other scheduler drives",
      isOfWrapper(path) ? path : `${path} of ${name}`,
      { hint: "Call dispose() of the other scheduler before, or pass { replace: true }" },
    );
  }
}

/** Puts a place before what others refuse. */
function within(place: string, run: () => void): void {
  try {
    run();
  } catch (cause) {
    if (!isOptimError(cause)) throw cause;
    throw new OptimError(cause.code, place + cause.message, { cause });
  }
}

function undo(restores: (() => void)[]): void {
  for (const restore of restores.splice(0).reverse()) restore();
}
