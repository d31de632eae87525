import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { aBoolean, aNumber, checkSchema, integerFrom } from "@mm/optim-core/schema";
import { hyperparameterAt, type Settings } from "./hyperparameter.ts";
import { type StagedLoad, stageLoad, toStateDict } from "./load.ts";
import { baseKey, type GroupKey, type Progress, readPlan, valueOf } from "./progress.ts";
import type { ScheduleCounts, ScheduleState } from "./schedule.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SchedulerLoadOptions, SchedulerLoadReport, SchedulerStateDict } from "./state.ts";

export class LiveScheduler implements Scheduler {
  readonly kind = "scheduler";
  readonly #wrapper: AnyOptimWrapper;
  #progress: Progress;

  /** Writes nothing: `apply()` does. */
  constructor(wrapper: AnyOptimWrapper, plan: object, where: string) {
    if ((wrapper as Partial<AnyOptimWrapper> | null | undefined)?.kind !== "optim-wrapper") {
      refuse("invalid-wrapper", where, "an OptimWrapper (for a dict: createSchedulerDict)", wrapper);
    }
    this.#wrapper = wrapper;
    const tracks = readPlan(where, plan, (path) => hyperparameterAt(where, path, wrapper.defaults));
    this.#progress = { updates: 0, epochs: 0, tracks };
  }

  get updates(): number {
    return this.#progress.updates;
  }

  get epochs(): number {
    return this.#progress.epochs;
  }

  step(result: { readonly updated: boolean }): void {
    const { updated } = Object(result) as typeof result;
    checkSchema("invalid-option", "step.updated", updated, aBoolean);
    if (updated) this.move({ ...this.#progress, updates: this.updates + 1 });
  }

  stepEpoch(): void {
    this.move(this.afterEpoch());
  }

  afterEpoch(): Progress {
    return { ...this.#progress, epochs: this.epochs + 1 };
  }

  observe(measure: number): void {
    checkSchema("invalid-option", "observe", measure, aNumber);
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
    if (skipped > this.updates) {
      refuse("invalid-option", "rewind", `at most ${this.updates}, the updates that were counted`, skipped);
    }
    this.move({ ...this.#progress, updates: this.updates - skipped });
  }

  apply(): void {
    this.move();
  }

  at(counts: ScheduleCounts): { readonly [path: string]: readonly number[] } {
    const fields = { updates: integerFrom(0), "epochs?": integerFrom(0) };
    checkSchema("invalid-option", "at", counts, { fields });
    const { updates, epochs = 0 } = counts;
    return Object.fromEntries(
      this.#withGroups(this.#progress).tracks.map((track) => [
        track.hyperparameter.path,
        this.#wrapper.paramGroups.map(({ name }) => valueOf({ updates, epochs }, track, name)),
      ]),
    );
  }

  stateDict(): SchedulerStateDict {
    return toStateDict(this.#withGroups(this.#progress));
  }

  loadStateDict(state: SchedulerStateDict, options: SchedulerLoadOptions = {}): SchedulerLoadReport {
    const { next, report } = this.stageLoad(state, options, "state");
    this.move(next);
    return report;
  }

  /** @throws OptimError for a state that does not fit */
  stageLoad(state: SchedulerStateDict, options: SchedulerLoadOptions, where: string): StagedLoad {
    return stageLoad(this.#withGroups(this.#progress), state, options, where);
  }

  /**
   * Writes the values of `next` and takes it.
   *
   * @returns what undoes it
   * @throws what the rule refuses a value with; nothing has changed then
   */
  move(next: Progress = this.#progress): () => void {
    const before = this.#progress;
    const progress = this.#withGroups(next);
    const writes: (() => void)[] = [];
    const undo = (): void => {
      for (const restore of writes.splice(0).reverse()) restore();
      this.#progress = before;
    };
    try {
      for (const track of progress.tracks) {
        const { read, write } = track.hyperparameter;
        for (const [key, settings] of this.#settings()) {
          const old = read(settings);
          const value = valueOf(progress, track, key);
          if (value === old) continue;
          write(settings, value);
          writes.push(() => write(settings, old));
        }
      }
    } catch (error) {
      undo();
      throw error;
    }
    this.#progress = progress;
    return undo;
  }

  /** All groups, the base settings among them. */
  #settings(): readonly (readonly [GroupKey, Settings])[] {
    const { paramGroups, baseParamSettings } = this.#wrapper;
    const groups = paramGroups.map((group) => [group.name, group as unknown as Settings] as const);
    return baseParamSettings ? [...groups, [baseKey, baseParamSettings] as const] : groups;
  }

  /** Groups that were not seen before begin with what they hold. */
  #withGroups(progress: Progress): Progress {
    const settings = this.#settings();
    const tracks = progress.tracks.map((track) => {
      const { initial, hyperparameter } = track;
      if (settings.every(([key]) => initial.has(key))) return track;
      const found = settings.map(([key, group]) => [key, hyperparameter.read(group)] as const);
      return { ...track, initial: new Map([...found, ...initial]) };
    });
    return { ...progress, tracks };
  }
}
