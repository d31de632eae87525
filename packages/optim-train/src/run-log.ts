import { type AnyOptimWrapper, OptimError, type StepMetrics } from "@mm/optim-core";
import type { Clock } from "./clock.ts";
import { disposeLoss, readLoss } from "./loss.ts";
import { gradNormsOf, lrOf } from "./metrics/collect.ts";
import { readAllMetrics } from "./metrics/gather.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { LogOptions } from "./run-options.ts";
import { nameIn } from "./wrappers.ts";

interface Mark {
  readonly iteration: number;
  readonly seconds: number;
}

/** The pace is that of the last so many lines. */
const marksOfPace = 10;

/** The log of one run. */
export class RunLog {
  readonly #every: number;
  readonly #ms: number | undefined;
  readonly #per: LogOptions["per"];
  readonly #maxSkipped: number;
  readonly #clock: Clock;
  /** The last of each wrapper, of an iteration that is logged. */
  readonly #losses = new Map<string, unknown>();
  /** When each wrapper last made a step: the norm of one that made none in an iteration is that of an earlier step. */
  readonly #updatedIn = new Map<string, number>();
  #iteration = 0;
  #notes: Record<string, number> | undefined;
  #marks: Mark[] = [];
  /** With `ms`: iterations until the next line, as the last ones suggest. */
  #most = 1;
  readonly #skips = new Map<string, { readonly steps: number; readonly skipped: number }>();
  /** Whether the present iteration is logged. */
  due = false;

  constructor(clock: Clock, { every = 100, ms, per }: LogOptions, maxSkipped: number = Infinity) {
    this.#clock = clock;
    this.#every = every;
    this.#ms = ms;
    this.#per = per;
    this.#maxSkipped = maxSkipped;
  }

  /** A loop begins after so many iterations. */
  startAt(iteration: number): void {
    this.#marks = [{ iteration, seconds: this.#clock.seconds }];
    this.#skips.clear();
    // After a resume the same iterations come again.
    this.#updatedIn.clear();
    // Notes of an iteration that was left are not of this loop.
    this.#notes = undefined;
  }

  begin(iteration: number): void {
    this.#iteration = iteration;
    const last = this.#marks.at(-1) as Mark;
    this.due =
      this.#ms === undefined
        ? iteration % this.#every === 0
        : iteration - last.iteration >= this.#most || (this.#clock.seconds - last.seconds) * 1000 >= this.#ms;
  }

  keepLoss(name: string, loss: unknown): void {
    disposeLoss(this.#losses.get(name));
    this.#losses.set(name, loss);
  }

  noteUpdate(name: string): void {
    this.#updatedIn.set(name, this.#iteration);
  }

  note(metrics: Metrics): void {
    this.#notes = { ...this.#notes, ...metrics };
  }

  /** Whether the iteration that was done has numbers. */
  get hasLine(): boolean {
    return this.due || this.#notes !== undefined;
  }

  dropLosses(): void {
    for (const loss of this.#losses.values()) disposeLoss(loss);
    this.#losses.clear();
  }

  /** Other wrappers: their counts of skipped steps begin anew. */
  forgetSkips(): void {
    this.#skips.clear();
  }

  /**
   * The numbers of the iteration that was done. Waits for the device where it is logged.
   *
   * @throws OptimError `non-finite-gradient` where `maxSkipped` is reached; what reads reject with
   */
  async line(
    wrappers: ReadonlyMap<string, AnyOptimWrapper>,
    iteration: number,
    until: number,
  ): Promise<Metrics> {
    const read = this.due ? await this.#read(wrappers) : {};
    const metrics = { ...read, ...(this.due && this.#pace(iteration, until)), ...this.#notes };
    this.#notes = undefined;
    return metrics;
  }

  async #read(wrappers: ReadonlyMap<string, AnyOptimWrapper>): Promise<Metrics> {
    const reading = readAllMetrics(wrappers, { per: this.#per });
    // As of the same moment.
    const rates = [...wrappers].map(([name, wrapper]) => [name, lrOf(wrapper)] as const);
    const read = await reading;
    const metrics: Record<string, number> = {};
    for (const [name, lr] of rates) {
      const { gradNorm, gradNorms, lossScale, steps, skipped } = read.get(name) as StepMetrics;
      const numbers = {
        loss: await readLoss(this.#losses.get(name)),
        lr,
        ...(this.#updatedIn.get(name) === this.#iteration && { gradNorm, ...gradNormsOf(gradNorms) }),
        lossScale: lossScale === 1 ? undefined : lossScale,
        skipped: skipped === 0 ? undefined : skipped,
      };
      this.#losses.delete(name);
      for (const [key, value] of Object.entries(numbers)) {
        if (value !== undefined) metrics[nameIn(name, key)] = value;
      }
      this.#checkSkips(name, steps, skipped);
    }
    return metrics;
  }

  #pace(iteration: number, until: number): Metrics {
    const { seconds } = this.#clock;
    const last = this.#marks.at(-1) as Mark;
    if (this.#ms !== undefined) {
      const count = iteration - last.iteration;
      const took = (seconds - last.seconds) * 1000;
      // Enqueuing is fast until the device is read: the number of iterations grows in steps.
      this.#most = Math.max(1, Math.min(4 * count, Math.round((count * this.#ms) / took)));
    }
    this.#marks = [...this.#marks.slice(1 - marksOfPace), { iteration, seconds }];
    const first = this.#marks[0] as Mark;
    const perSecond = (iteration - first.iteration) / (seconds - first.seconds);
    return { seconds, perSecond, ...(until < Infinity && { secondsLeft: (until - iteration) / perSecond }) };
  }

  /** Where no step was taken between two reads, all that were skipped in between were in a row. */
  #checkSkips(name: string, steps: number, skipped: number): void {
    const before = this.#skips.get(name);
    if (before === undefined || steps > before.steps) this.#skips.set(name, { steps, skipped });
    const inRow = skipped - (this.#skips.get(name)?.skipped ?? 0);
    if (inRow < this.#maxSkipped) return;
    throw new OptimError("non-finite-gradient", nameIn(name, "run: maxSkipped"), {
      expected: `fewer than ${this.#maxSkipped} skipped steps in a row`,
      received: inRow,
      hint: "Try a smaller learning rate or clipGrad, from a checkpoint that is from before",
    });
  }
}
