import { checkCountStatus } from "./arguments.ts";
import { refuse } from "./errors.ts";
import type { CountStatus } from "./options.ts";
import { checkSchema, integerFrom } from "./schema.ts";
import type { RestoreOptions, WindowCounts } from "./state.ts";

type Counts = { -readonly [K in keyof WindowCounts]: WindowCounts[K] };

/**
 * The window: a run of micro-batches whose gradients make one step. Windows end at multiples of `accumulativeCounts` and at `maxCounts`.
 * A window's divisor is fixed at its first micro-batch; its weights are summed, so that whatever it holds at its end is a weighted mean.
 */
export class Window {
  #counts: Counts = emptyWindow({ innerCount: 0 });
  #accumulativeCounts: number;
  /** Whether `maxCounts` was announced by the program; then no state overrules it. */
  #announced = false;
  /** Whether a micro-batch had a weight other than 0, of either sign. */
  #weighs = false;
  /** Whether the window came from a state, and nothing was added since. */
  #loaded = false;

  constructor(accumulativeCounts: number) {
    this.#accumulativeCounts = accumulativeCounts;
  }

  get accumulativeCounts(): number {
    return this.#accumulativeCounts;
  }

  set accumulativeCounts(counts: number) {
    checkSchema("invalid-option", "accumulativeCounts", counts, integerFrom(1));
    this.#accumulativeCounts = counts;
  }

  get innerCount(): number {
    return this.#counts.innerCount;
  }

  /** Whether micro-batches wait for a step. */
  get isOpen(): boolean {
    return this.#counts.windowStart < this.#counts.innerCount;
  }

  /** Whether a window ends at this count. */
  isBoundary(count: number = this.innerCount): boolean {
    return count % this.#accumulativeCounts === 0 || count === this.#counts.maxCounts;
  }

  /** Whether the next micro-batch ends the window. */
  get endsNext(): boolean {
    return this.isBoundary(this.innerCount + 1);
  }

  /** The divisor of the next micro-batch. @throws OptimError `count-exceeded` */
  divisor(): number {
    const { innerCount, maxCounts, windowStart, divisor } = this.#counts;
    if (maxCounts !== undefined && innerCount >= maxCounts) {
      const origin = this.#announced ? "of initializeCountStatus" : "of the state that was loaded";
      refuse("count-exceeded", "backward", `at most ${maxCounts} (maxCounts ${origin})`, innerCount + 1, {
        hint: "Call initializeCountStatus with a larger maxCounts to train longer",
      });
    }
    if (divisor !== undefined) return divisor;
    const end = innerCount - (innerCount % this.#accumulativeCounts) + this.#accumulativeCounts;
    return Math.min(end, maxCounts ?? end) - windowStart;
  }

  /** Counts a micro-batch of this weight. */
  add(weight: number): void {
    this.#counts.divisor = this.divisor();
    this.#counts.innerCount += 1;
    this.#counts.weightSum += weight;
    this.#weighs ||= weight !== 0;
    this.#loaded = false;
  }

  /** The weights of the window ÷ its divisor: what its gradients are still to be divided by. @throws OptimError `invalid-option` */
  weight(call: string): number {
    const { weightSum, divisor = 1 } = this.#counts;
    if (weightSum === 0 && this.#weighs) {
      refuse("invalid-option", `${call}: the scales of this window`, "a sum other than 0", 0, {
        hint: "Call step({ rescale }) and zeroGrad() by hand",
      });
    }
    return weightSum / divisor;
  }

  /** Drops what is in the window: the next one begins here. */
  restart(): void {
    this.#take(emptyWindow(this.#counts), false);
  }

  /** @throws OptimError `window-open`, `invalid-option`, `unknown-option` */
  initialize(status: CountStatus): void {
    const { initCounts, maxCounts } = Object(status) as CountStatus;
    const goesOn = this.#loaded && (initCounts === undefined || initCounts === this.innerCount);
    checkCountStatus(status, goesOn ? this.innerCount : 0);
    if (this.isOpen && !goesOn) {
      const pending = this.innerCount - this.#counts.windowStart;
      const expected = "flush() or zeroGrad() before it, with nothing pending";
      refuse("window-open", "initializeCountStatus", expected, pending);
    }
    if (!this.isOpen) this.#counts = emptyWindow({ innerCount: initCounts ?? 0 });
    this.#announced = maxCounts !== undefined;
    if (maxCounts === undefined) delete this.#counts.maxCounts;
    else this.#counts.maxCounts = maxCounts;
  }

  /** Its saved form. */
  snapshot(pending: boolean): WindowCounts {
    return pending ? { ...this.#counts } : emptyWindow(this.#counts);
  }

  /**
   * Stages counts of a state. `commit` cannot fail.
   *
   * @param weighs whether gradients come with them
   */
  prepareLoad(
    saved: WindowCounts,
    { counts, pending }: RestoreOptions,
    weighs: boolean,
  ): { readonly changed: readonly string[]; commit(): void } {
    const differs = this.#announced && this.#counts.maxCounts !== saved.maxCounts;
    const staged: Counts = pending === false ? emptyWindow(saved) : { ...saved };
    return {
      changed: differs ? ["maxCounts"] : [],
      commit: () => {
        if (counts === false) return this.restart();
        const { maxCounts } = this.#counts;
        if (this.#announced && maxCounts !== undefined) staged.maxCounts = maxCounts;
        this.#take(staged, weighs && pending !== false);
        this.#loaded = true;
      },
    };
  }

  #take(counts: Counts, weighs: boolean): void {
    this.#counts = counts;
    this.#weighs = weighs;
    this.#loaded = false;
  }
}

/** An empty window that begins at these counts. */
function emptyWindow({ innerCount, maxCounts }: Pick<WindowCounts, "innerCount" | "maxCounts">): Counts {
  return {
    innerCount,
    ...(maxCounts !== undefined && { maxCounts }),
    windowStart: innerCount,
    weightSum: 0,
  };
}
