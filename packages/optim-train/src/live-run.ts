import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { aBoolean, anything, checkSchema, oneOf } from "@mm/optim-core/schema";
import { Agreement, hasOpenWindow } from "./agreement.ts";
import { Clock } from "./clock.ts";
import { hyperparametersOf } from "./hyperparameters.ts";
import type { Metrics, RunProgress } from "./metrics/metrics.ts";
import { readAllMetrics } from "./metrics/gather.ts";
import { nextTask } from "./next-task.ts";
import { checkOptions } from "./options.ts";
import { restoreRun } from "./resume.ts";
import type { ResumeOptions, RunOptions, RunSignal, UpdateOptions } from "./run-options.ts";
import { RunLog } from "./run-log.ts";
import type { SavedRun } from "./run-store.ts";
import { Saves } from "./saves.ts";
import type { RunSchedulers } from "./schedulers.ts";
import { namedWrappers, only, type Wrappers } from "./wrappers.ts";

/** One `for await`. */
interface Loop {
  readonly agreement: Agreement | undefined;
  end(): void;
}

/** {@link Run} without the types of its wrappers. */
export class LiveRun implements RunProgress {
  readonly #options: RunOptions;
  #optim: Wrappers;
  #wrappers: ReadonlyMap<string, AnyOptimWrapper>;
  #schedulers: RunSchedulers | undefined;
  readonly until: number;
  iteration = 0;
  began = 0;
  stopped: string | undefined;
  /** Why it is to stop. */
  #stopping: string | undefined;
  /** An iteration is in progress, or was left. */
  #inside = false;
  #looping = false;
  readonly #clock = new Clock();
  readonly #log: RunLog;
  readonly #saves: Saves;
  readonly #jobs: (() => Promise<void>)[] = [];
  /** Jobs outside of a loop. */
  #tail: Promise<unknown> = Promise.resolve();
  #paused = false;
  #wake: () => void = () => undefined;
  #yielded = 0;

  constructor(options: RunOptions) {
    checkOptions(options);
    const { optim, schedulers, until = Infinity, log = {}, maxSkipped, store, onSaveError } = options;
    this.#options = options;
    this.until = until;
    this.#optim = optim;
    this.#wrappers = namedWrappers(optim, "createRun: optim");
    this.#schedulers = schedulers;
    this.#log = new RunLog(this.#clock, log, maxSkipped);
    this.#saves = new Saves(this.#isFirst ? store : undefined, onSaveError);
  }

  get done(): boolean {
    return this.iteration >= this.until;
  }

  get seconds(): number {
    return this.#clock.seconds;
  }

  /** Whether this rank logs and saves. */
  get #isFirst(): boolean {
    return (this.#options.ranks?.rank ?? 0) === 0;
  }

  /**
   * By hand, with a path that waits for nothing: the promises that an async generator or function makes for each iteration take a third of the time of a
   * short step.
   */
  [Symbol.asyncIterator](): AsyncIterator<number, undefined> {
    let loop: Loop | undefined;
    let busy = false;
    let over = false;
    const end = (): IteratorReturnResult<undefined> => {
      over = true;
      loop?.end();
      loop = undefined;
      return { done: true, value: undefined };
    };
    const wait = async (due: boolean): Promise<IteratorResult<number, undefined>> => {
      if (over) return end();
      if (busy) this.#refuseInside("for await");
      busy = true;
      try {
        loop ??= this.#begin();
        const { agreement } = loop;
        if (due) await this.#afterIteration();
        const asked = agreement !== undefined || this.#isAsked();
        if (!this.done && !(asked && (await this.#stops(agreement)))) {
          return { done: false, value: this.#enter() };
        }
        await this.#finish(agreement !== undefined);
        return end();
      } catch (error) {
        end();
        throw error;
      } finally {
        busy = false;
      }
    };
    return {
      next: () => {
        if (busy || loop === undefined) return wait(false);
        const due = this.#leave();
        return due || this.done || loop.agreement !== undefined || this.#isAsked()
          ? wait(due)
          : Promise.resolve({ done: false, value: this.#enter() });
      },
      return: () => Promise.resolve(end()),
    };
  }

  #begin(): Loop {
    if (this.#looping || this.#inside) this.#refuseInside("for await");
    const { signal, ranks, agreeEvery, saveEvery = Infinity, log = {} } = this.#options;
    const every = agreeEvery ?? Math.min(saveEvery, log.every ?? 100);
    const agreement = ranks && new Agreement(ranks, every);
    const wake = (): void => this.#wake();
    signal?.addEventListener("abort", wake);
    this.#looping = true;
    this.stopped = undefined;
    this.began = this.iteration;
    this.#log.startAt(this.iteration);
    const end = (): void => {
      this.#clock.stop();
      signal?.removeEventListener("abort", wake);
      agreement?.close();
      this.#log.dropLosses();
      this.#looping = false;
      this.#stopping = undefined;
      this.#tail = Promise.allSettled([this.#tail, ...this.#jobs.splice(0).map((job) => job())]);
    };
    return { agreement, end };
  }

  #enter(): number {
    this.#inside = true;
    this.#clock.start();
    this.#log.begin(this.iteration + 1);
    return this.iteration + 1;
  }

  /** After the body. @returns whether something is due */
  #leave(): boolean {
    this.iteration += 1;
    this.#inside = false;
    return this.#isDue();
  }

  #isAsked(): boolean {
    const { signal } = this.#options;
    return this.#jobs.length > 0 || this.#paused || this.#stopping !== undefined || signal?.aborted === true;
  }

  #isDue(): boolean {
    const { saveEvery, yieldEvery = 10 } = this.#options;
    if (saveEvery !== undefined && this.iteration % saveEvery === 0) this.#saves.want();
    const waits = performance.now() - this.#yielded >= yieldEvery;
    return waits || this.#log.hasLine || this.#saves.wanted;
  }

  /** Runs jobs and waits for the end of a pause. @returns whether the run is to stop here */
  async #stops(agreement: Agreement | undefined): Promise<boolean> {
    const { signal } = this.#options;
    for (;;) {
      for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) await job();
      if (signal?.aborted) this.#stopping ??= "signal";
      if (!this.#paused || this.#stopping !== undefined) break;
      await this.untimed(() => this.#rest(signal));
    }
    const wants = this.#stopping !== undefined;
    const open = agreement !== undefined && hasOpenWindow(this.#wrappers.values());
    const stops = agreement ? await agreement.stops(wants, this.iteration, open) : wants;
    if (stops) this.stopped = this.#stopping ?? "another rank";
    return stops;
  }

  /** Sleeps until something happens. Nothing has since it was looked at, or it does not sleep. */
  async #rest(signal: RunSignal | undefined): Promise<void> {
    const awake = !this.#paused || this.#stopping !== undefined || signal?.aborted || this.#jobs.length > 0;
    if (!awake) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Its line, its save, and a turn for others. */
  async #afterIteration(): Promise<void> {
    const { log: { to = [] } = {}, yieldEvery = 10 } = this.#options;
    if (this.#log.hasLine) {
      const metrics = await this.#log.line(this.#wrappers, this.iteration, this.until);
      if (this.#isFirst) for (const sink of [to].flat()) await sink(this.iteration, metrics, this);
    }
    if (this.#saves.wanted) await this.#saveWanted();
    if (performance.now() - this.#yielded >= yieldEvery) {
      await nextTask();
      this.#yielded = performance.now();
    }
  }

  /** Before the last, short windows are stepped the run is saved: a longer run goes on from there as if it had been planned. */
  async #finish(ranks: boolean): Promise<void> {
    // A rank has its own gradients of an open window, and they are no part of a file for all.
    if (ranks && this.done) this.flush();
    if (this.iteration !== this.#saves.savedAt) this.#saves.want();
    if (this.#saves.wanted) await this.#take();
    await this.#saves.written();
    if (this.done) this.flush();
  }

  update(first: unknown, second?: unknown, third?: UpdateOptions): boolean {
    const named = typeof first === "string";
    const name = named ? first : only;
    const loss = (named ? second : first) as never;
    const options = (named ? third : second) as UpdateOptions | undefined;
    const returnLoss = this.#log.due;
    const given = (options ?? returnLoss) ? { ...options, returnLoss } : undefined;
    const result = this.#wrapper(name).updateParams(loss, given);
    if (returnLoss) this.#log.keepLoss(name, result.loss);
    return this.#count(name, result);
  }

  skip(name: string = only): boolean {
    return this.#count(name, this.#wrapper(name).skip());
  }

  flush(options: { readonly epoch?: boolean } = {}): void {
    checkSchema("invalid-option", "run.flush", options, { fields: { "epoch?": aBoolean } });
    for (const [name, wrapper] of this.#wrappers) {
      this.#count(name, wrapper.flush());
      if (options.epoch) wrapper.initializeCountStatus({ initCounts: 0 });
    }
    if (options.epoch) this.#schedulers?.stepEpoch();
  }

  #wrapper(name: string): AnyOptimWrapper {
    const wrapper = this.#wrappers.get(name);
    if (wrapper) return wrapper;
    const names = [...this.#wrappers.keys()];
    const expected = names.includes(only)
      ? "no name, for there is one wrapper"
      : `one of ${names.join(", ")}, first`;
    return refuse("unknown-name", "run: name of a wrapper", expected, name === only ? undefined : name);
  }

  #count(name: string, result: { readonly updated: boolean }): boolean {
    if (result.updated) {
      this.#log.noteUpdate(name);
      const schedulers = this.#schedulers;
      (schedulers?.kind === "scheduler-dict" ? schedulers.get(name as never) : schedulers)?.step(result);
    }
    return result.updated;
  }

  every(count: number): boolean {
    if (!(count > 0)) refuse("invalid-option", "run.every", "a number of iterations above 0", count);
    return (this.iteration + 1) % count === 0 || this.iteration + 1 === this.until;
  }

  log(metrics: Metrics): void {
    this.#log.note(metrics);
  }

  stop(reason = "stopped"): void {
    this.#stopping ??= reason;
    this.#wake();
  }

  pause(): void {
    if ((this.#options.ranks?.size ?? 1) > 1)
      refuse("unsupported", "run.pause", "one rank", "ranks that would wait");
    this.#paused = true;
  }

  unpause(): void {
    this.#paused = false;
    this.#wake();
  }

  use(optim: Wrappers, schedulers?: RunSchedulers): void {
    if (this.#inside) this.#refuseInside("run.use");
    this.#wrappers = namedWrappers(optim, "run.use");
    this.#optim = optim;
    this.#schedulers = schedulers;
    this.#log.forgetSkips();
  }

  async untimed<T>(work: () => T | Promise<T>): Promise<T> {
    const runs = this.#clock.runs;
    // The device has training to do: without this wait it would be counted as the work of whoever waits first.
    if (runs) await readAllMetrics(this.#wrappers);
    this.#clock.stop();
    try {
      return await work();
    } finally {
      if (runs) this.#clock.start();
    }
  }

  between<T>(work: () => T | Promise<T>): Promise<T> {
    if (!this.#looping) {
      const done = this.#tail.then(work);
      this.#tail = done.catch(() => undefined);
      return done;
    }
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push(async () => {
        await this.untimed(work).then(resolve, reject);
      });
      this.#wake();
    });
  }

  saveAfter(name?: string): void {
    this.#saves.want(name);
  }

  async save(name?: string): Promise<string | undefined> {
    if (this.#inside) this.#refuseInside("run.save");
    this.#saves.want(name);
    if (this.#saves.wanted) await this.#take();
    return this.#saves.written();
  }

  async #saveWanted(): Promise<void> {
    if (this.#options.ranks && hasOpenWindow(this.#wrappers.values())) return;
    await this.#take();
  }

  async #take(): Promise<void> {
    await this.untimed(() => this.#saves.take(this.#optim, this.#saved()));
  }

  async #saved(): Promise<SavedRun> {
    const { state = {}, info } = this.#options;
    const { iteration, seconds } = this;
    const schedulers = this.#schedulers?.stateDict();
    const hyperparameters = hyperparametersOf(this.#wrappers);
    // All copies are begun before the first wait.
    const parts = Object.entries(state).map(async ([name, part]) => [name, await part.stateDict()] as const);
    return {
      format: "optim-run",
      version: 1,
      iteration,
      seconds,
      ...(info !== undefined && { info }),
      ...(schedulers && { schedulers }),
      hyperparameters,
      state: Object.fromEntries(await Promise.all(parts)),
    };
  }

  async resume(options: ResumeOptions = {}): Promise<string | undefined> {
    if (this.#looping) this.#refuseInside("run.resume");
    const choice = oneOf("saved", "program");
    checkSchema("invalid-option", "run.resume", options, {
      fields: { "from?": anything, "schedules?": choice, "hyperparameters?": choice },
    });
    const { from } = options;
    const { store, state = {} } = this.#options;
    const found =
      typeof from === "object"
        ? from
        : await (store ?? refuse("invalid-option", "run.resume", "a run with a store", store)).find(from);
    if (found === undefined) return undefined;
    const parts = {
      optim: this.#optim,
      wrappers: this.#wrappers,
      schedulers: this.#schedulers,
      state,
    };
    const { iteration, seconds } = await restoreRun(found, parts, options);
    this.iteration = this.#saves.savedAt = iteration;
    this.#clock.set(seconds);
    this.#inside = false;
    this.#saves.forget();
    return found.name;
  }

  #refuseInside(call: string): never {
    return refuse("reentrant", call, "no iteration in progress", this.iteration + 1, {
      hint: "In the body call run.saveAfter() or run.stop(). After a break or an error in the body, run.resume() comes first",
    });
  }
}
