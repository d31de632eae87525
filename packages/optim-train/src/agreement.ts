import type { AnyOptimWrapper } from "@mm/optim-core";

/** The calls of a run on the ranks of a job. A communicator of `@mm/optim-distributed` has it. */
export interface RunRanks {
  readonly rank: number;
  readonly size: number;
  /** Sums over all ranks, in place. */
  allReduce(buffer: Int32Array): Promise<void>;
  readonly allReduceSync?: ((buffer: Int32Array) => void) | undefined;
  /** The same ranks, with messages of their own. All ranks call it. */
  duplicate(): RunRanks & { close(): void };
}

/** Lets all ranks stop at one iteration: they sum whether they want to, every so many iterations. */
export class Agreement {
  readonly #ranks: ReturnType<RunRanks["duplicate"]>;
  readonly #every: number;
  #agreed = false;

  constructor(ranks: RunRanks, every: number) {
    this.#ranks = ranks.duplicate();
    this.#every = every;
  }

  /** Whether all stop here. Gradients of an open window are those of one rank alone, so a stop waits for its end. */
  async stops(wants: boolean, iteration: number, open: boolean): Promise<boolean> {
    if (!this.#agreed && iteration % this.#every === 0) {
      const sum = Int32Array.of(Number(wants));
      if (this.#ranks.allReduceSync) this.#ranks.allReduceSync(sum);
      else await this.#ranks.allReduce(sum);
      this.#agreed = sum[0] !== 0;
    }
    return this.#agreed && !open;
  }

  close(): void {
    this.#ranks.close();
  }
}

/** Whether one of them is between two boundaries. */
export const hasOpenWindow = (wrappers: Iterable<AnyOptimWrapper>): boolean =>
  [...wrappers].some((wrapper) => !wrapper.shouldUpdate());
