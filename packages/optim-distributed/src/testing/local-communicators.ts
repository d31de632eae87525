import { OptimError } from "@mm/optim-core";
import { checkSchema, aPositive, integerFrom } from "@mm/optim-core/schema";
import {
  requireBuffer,
  requireRank,
  requireSlices,
  requireSummable,
  type SlicingCommunicator,
} from "../communicator.ts";
import { copyFrom, gather, sum, transpose } from "./exchanges.ts";
import { Room } from "./meeting.ts";

export interface LocalCommunicatorOptions {
  /** How long a call waits for the other ranks, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
}

/**
 * Communicators of `size` ranks that live in one thread: each rank is an asynchronous function, and calls meet on the event loop. Sums are in
 * the order of ranks, so that results do not depend on who comes first.
 *
 * ```ts
 * await Promise.all(localCommunicators(2).map((communicator) => train(communicator)));
 * ```
 *
 * They cannot wait: `distributed` refuses them, `dataParallel` takes them. `abort` makes every other call fail; it ends no process.
 *
 * @returns one communicator per rank, in order
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function localCommunicators(
  size: number,
  options: LocalCommunicatorOptions = {},
): readonly SlicingCommunicator[] {
  checkSchema("invalid-option", "localCommunicators: size", size, integerFrom(1));
  checkSchema("invalid-option", "localCommunicators", options, { fields: { "timeoutMs?": aPositive } });
  const { timeoutMs = 30_000 } = options;
  const room = new Room(size);
  return Array.from({ length: size }, (_, rank) => localCommunicator(room, room, rank, timeoutMs));
}

function localCommunicator(job: Room, room: Room, rank: number, timeoutMs: number): SlicingCommunicator {
  const { size } = room;
  let closed = false;
  const live = (who: string): void => {
    if (closed) throw new OptimError("disposed", who, { expected: "a communicator that was not closed" });
  };
  return {
    kind: "communicator",
    rank,
    size,
    async allReduce(buffer) {
      live("allReduce");
      requireSummable(buffer, "allReduce");
      const description = `allReduce of ${buffer.length} ${buffer.constructor.name}`;
      return room.meet(rank, { description, from: buffer, to: buffer }, sum, timeoutMs);
    },
    async broadcast(buffer, root = 0) {
      live("broadcast");
      requireBuffer(buffer, "broadcast");
      requireRank(root, size, "broadcast: root");
      const description = `broadcast of ${buffer.byteLength} bytes from rank ${root}`;
      return room.meet(rank, { description, from: buffer, to: buffer }, copyFrom(root), timeoutMs);
    },
    async allToAll(from, to) {
      live("allToAll");
      requireSlices(from, to, size, "allToAll");
      return room.meet(
        rank,
        { description: `allToAll of ${from.byteLength} bytes`, from, to },
        transpose,
        timeoutMs,
      );
    },
    async allGather(from, to) {
      live("allGather");
      requireSlices(from, to, size, "allGather");
      return room.meet(
        rank,
        { description: `allGather of ${from.byteLength} bytes`, from, to },
        gather,
        timeoutMs,
      );
    },
    duplicate() {
      live("duplicate");
      return localCommunicator(job, room.duplicate(rank), rank, timeoutMs);
    },
    abort(exitCode = 70) {
      job.fail(
        new OptimError("communication-error", "communicator", {
          expected: "a job that goes on",
          received: `rank ${rank} aborted it with exit code ${exitCode}`,
        }),
      );
    },
    close() {
      if (closed) return;
      closed = true;
      room.close(rank);
    },
  };
}
