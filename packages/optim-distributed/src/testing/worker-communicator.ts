import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { aPositive, checkSchema, integerFrom } from "@mm/optim-core/schema";
import {
  bytesOf,
  Health,
  requireBuffer,
  requireRank,
  requireSlices,
  requireSummable,
  type SlicingCommunicator,
  type Summable,
} from "../communicator.ts";
import { hashText } from "../hash.ts";
import { SharedRoom } from "./shared-room.ts";

export interface WorkerCommunicatorOptions {
  /** How long a call waits for the other ranks, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
}

/**
 * The communicator of one of `size` worker threads, over memory that they share. It waits (`Atomics.wait`), so that `distributed` can be
 * tested without MPI; its asynchronous calls wait too. Sums are in the order of ranks.
 *
 * ```ts
 * const shared = new SharedArrayBuffer(1 << 20); // zeros, made once, sent to all
 * const communicator = workerCommunicator(shared, rank, size); // in each of them
 * ```
 *
 * Of the memory each rank has a part, and larger buffers go through it in pieces. A browser's main thread may not wait. Duplicates share the
 * order of calls: a thread that waits does nothing else. `abort` makes every other call fail; it ends no thread.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function workerCommunicator(
  shared: SharedArrayBuffer,
  rank: number,
  size: number,
  options: WorkerCommunicatorOptions = {},
): SlicingCommunicator {
  const who = "workerCommunicator";
  checkSchema("invalid-option", `${who}: size`, size, integerFrom(1));
  requireRank(rank, size, `${who}: rank`);
  checkSchema("invalid-option", who, options, { fields: { "timeoutMs?": aPositive } });
  const given: unknown = shared;
  if (!(given instanceof SharedArrayBuffer))
    refuse("invalid-option", `${who}: shared`, "a SharedArrayBuffer", given);
  const room = new SharedRoom(shared, rank, size, options.timeoutMs ?? 30_000);
  return communicatorOf(room, rank, size, new Health(), "");
}

function communicatorOf(
  room: SharedRoom,
  rank: number,
  size: number,
  health: Health,
  path: string,
): SlicingCommunicator {
  let closed = false;
  let duplicates = 0;
  /** One call: what it is, equal on all ranks, and what happens. */
  const call = (description: string, run: () => void): void => {
    const who = description.split(" ", 1)[0] as string;
    if (closed) throw new OptimError("disposed", who, { expected: "a communicator that was not closed" });
    health.check();
    try {
      room.agree(hashText(`${path} ${description}`), description);
      run();
    } catch (error) {
      throw health.fail(error as OptimError);
    }
  };
  const allReduceSync = (buffer: Summable): void => {
    requireSummable(buffer, "allReduce");
    const bytes = bytesOf(buffer);
    const termsOf = ({ buffer: memory, byteOffset }: Uint8Array, length: number): Summable =>
      buffer instanceof Float32Array
        ? new Float32Array(memory, byteOffset, length)
        : new Int32Array(memory, byteOffset, length);
    call(`allReduce of ${buffer.length} ${buffer.constructor.name}`, () =>
      room.exchange(bytes, bytes.length, (offset, length, pieceOf) => {
        const to = buffer.subarray(offset / 4, (offset + length) / 4);
        for (let from = 0; from < size; from += 1) {
          const terms = termsOf(pieceOf(from), to.length);
          if (from === 0) to.set(terms);
          else
            for (let index = 0; index < to.length; index += 1)
              (to[index] as number) += terms[index] as number;
        }
      }),
    );
  };
  const allToAllSync = (from: ArrayBufferView, to: ArrayBufferView): void => {
    requireSlices(from, to, size, "allToAll");
    const slice = from.byteLength / size;
    call(`allToAll of ${from.byteLength} bytes`, () =>
      room.exchange(bytesOf(from), from.byteLength, (offset, length, pieceOf) => {
        // The part of the piece that lies in this rank's slice.
        const begin = Math.max(offset, rank * slice);
        const end = Math.min(offset + length, (rank + 1) * slice);
        if (begin >= end) return;
        for (let source = 0; source < size; source += 1) {
          const part = pieceOf(source).subarray(begin - offset, end - offset);
          bytesOf(to).set(part, source * slice + begin - rank * slice);
        }
      }),
    );
  };
  const allGatherSync = (from: ArrayBufferView, to: ArrayBufferView): void => {
    requireSlices(from, to, size, "allGather");
    const slice = from.byteLength;
    call(`allGather of ${slice} bytes`, () =>
      room.exchange(bytesOf(from), slice, (offset, _, pieceOf) => {
        for (let source = 0; source < size; source += 1)
          bytesOf(to).set(pieceOf(source), source * slice + offset);
      }),
    );
  };
  return {
    kind: "communicator",
    rank,
    size,
    allReduceSync,
    allToAllSync,
    allGatherSync,
    allReduce: async (buffer) => allReduceSync(buffer),
    allToAll: async (from, to) => allToAllSync(from, to),
    allGather: async (from, to) => allGatherSync(from, to),
    async broadcast(buffer, root = 0) {
      requireBuffer(buffer, "broadcast");
      requireRank(root, size, "broadcast: root");
      const bytes = bytesOf(buffer);
      call(`broadcast of ${bytes.length} bytes from rank ${root}`, () =>
        room.exchange(bytes, bytes.length, (offset, _, pieceOf) => {
          if (rank !== root) bytes.set(pieceOf(root), offset);
        }),
      );
    },
    duplicate() {
      duplicates += 1;
      return communicatorOf(room, rank, size, health, `${path}/${duplicates}`);
    },
    abort: (exitCode = 70) => room.abort(exitCode),
    close() {
      if (closed) return;
      closed = true;
      // Duplicates share the room: it is left with the first communicator.
      if (path === "") room.leave();
    },
  };
}
