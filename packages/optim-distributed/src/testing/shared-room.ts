import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { ranksThatDiffer } from "../majority.ts";

// Words of the header: two for the barrier, one for an abort, then three for each rank.
const arrived = 0;
const generation = 1;
const aborted = 2;
const shared = 4;
const perRank = 4;
const left = 0;
const hash = 1;

/** The pieces of all ranks, one after the other: `pieceOf(rank)` is what that rank has put at `offset`, `length` bytes. */
type Read = (offset: number, length: number, pieceOf: (rank: number) => Uint8Array) => void;

/** Memory that threads share, with a barrier and a slot for each of them. */
export class SharedRoom {
  readonly #rank: number;
  readonly #size: number;
  readonly #timeoutMs: number;
  readonly #words: Int32Array;
  readonly #slots: readonly Uint8Array[];

  constructor(memory: SharedArrayBuffer, rank: number, size: number, timeoutMs: number) {
    const header = 4 * (shared + perRank * size);
    // A multiple of 8, so that pieces of numbers begin where numbers may.
    const slot = Math.floor((memory.byteLength - header) / size / 8) * 8;
    if (slot < 8) {
      refuse(
        "invalid-option",
        "workerCommunicator: shared",
        `at least ${header + 8 * size} bytes`,
        memory.byteLength,
      );
    }
    this.#rank = rank;
    this.#size = size;
    this.#timeoutMs = timeoutMs;
    this.#words = new Int32Array(memory, 0, header / 4);
    this.#slots = Array.from(
      { length: size },
      (_, index) => new Uint8Array(memory, header + index * slot, slot),
    );
  }

  /** Whether all ranks make the same call. @throws OptimError `communication-mismatch` on all of them */
  agree(description: number, words: string): void {
    const at = (rank: number, field: number): number => shared + perRank * rank + field;
    Atomics.store(this.#words, at(this.#rank, hash), description);
    this.#barrier(words);
    const hashes = Array.from({ length: this.#size }, (_, rank) =>
      String(Atomics.load(this.#words, at(rank, hash))),
    );
    this.#barrier(words);
    const ranks = ranksThatDiffer(hashes);
    if (ranks.length === 0) return;
    throw new OptimError("communication-mismatch", `rank ${this.#rank}: ${words}`, {
      expected: "the same calls in the same order on every rank",
      received: `another one on rank ${ranks.join(", ")}`,
      ranks,
    });
  }

  /** Every rank puts its bytes into its slot, piece by piece, and reads those of all. */
  exchange(bytes: Uint8Array, length: number, read: Read): void {
    const own = this.#slots[this.#rank] as Uint8Array;
    for (let offset = 0; offset < length; offset += own.length) {
      const count = Math.min(own.length, length - offset);
      own.set(bytes.subarray(offset, offset + count));
      this.#barrier("exchange");
      read(offset, count, (rank) => (this.#slots[rank] as Uint8Array).subarray(0, count));
      this.#barrier("exchange");
    }
  }

  abort(exitCode: number): void {
    Atomics.compareExchange(this.#words, aborted, 0, (exitCode << 16) | (this.#rank + 1));
    Atomics.notify(this.#words, generation);
  }

  leave(): void {
    Atomics.store(this.#words, shared + perRank * this.#rank + left, 1);
    Atomics.notify(this.#words, generation);
  }

  #barrier(words: string): void {
    const turn = Atomics.load(this.#words, generation);
    this.#refuseAborted(words);
    if (Atomics.add(this.#words, arrived, 1) === this.#size - 1) {
      Atomics.store(this.#words, arrived, 0);
      Atomics.add(this.#words, generation, 1);
      Atomics.notify(this.#words, generation);
      return;
    }
    const until = Date.now() + this.#timeoutMs;
    for (;;) {
      // Read before the generation: whoever left after this barrier has ended it first.
      const gone = this.#gone();
      if (Atomics.load(this.#words, generation) !== turn) return;
      this.#refuseAborted(words);
      if (gone !== undefined) throw this.#error(words, `rank ${gone} closed its communicator`);
      const remaining = until - Date.now();
      if (remaining <= 0) {
        throw new OptimError("communication-timeout", `rank ${this.#rank}: ${words}`, {
          expected: `all ranks within ${this.#timeoutMs} ms (timeoutMs)`,
          received: `${Atomics.load(this.#words, arrived)} of ${this.#size}`,
        });
      }
      // In slices: a notification may come between the look and the wait.
      Atomics.wait(this.#words, generation, turn, Math.min(remaining, 100));
    }
  }

  #gone(): number | undefined {
    for (let rank = 0; rank < this.#size; rank += 1) {
      if (Atomics.load(this.#words, shared + perRank * rank + left) === 1) return rank;
    }
    return undefined;
  }

  #refuseAborted(words: string): void {
    const by = Atomics.load(this.#words, aborted);
    if (by !== 0)
      throw this.#error(words, `rank ${(by & 0xffff) - 1} aborted the job with exit code ${by >> 16}`);
  }

  #error(words: string, received: string): OptimError {
    return new OptimError("communication-error", `rank ${this.#rank}: ${words}`, {
      expected: "all ranks in every call",
      received,
    });
  }
}
