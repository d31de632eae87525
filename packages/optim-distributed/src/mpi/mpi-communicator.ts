import { OptimError } from "@mm/optim-core";
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
import type { Handle, HandleCell } from "./abi.ts";
import type { Job } from "./job.ts";

/** All ranks of a job of MPI. It waits, and exchanges slices. */
export interface MpiCommunicator extends SlicingCommunicator {
  readonly allReduceSync: NonNullable<SlicingCommunicator["allReduceSync"]>;
  readonly allToAllSync: NonNullable<SlicingCommunicator["allToAllSync"]>;
  readonly allGatherSync: NonNullable<SlicingCommunicator["allGatherSync"]>;
  /** The library that was loaded, in its own words. */
  readonly version: string;
  duplicate(): MpiCommunicator;
}

/** MPI counts in C ints: longer buffers go in pieces. */
const mostElements = 2 ** 30;

/** A request with the views that it works on. */
type Started = readonly [request: HandleCell, ...buffers: unknown[]];

/** `comm` as a {@link MpiCommunicator}. Collective. */
export function mpiCommunicator(job: Job, comm: Handle, version: string): MpiCommunicator {
  const { functions, handles } = job;
  const { abi } = functions;
  functions.call("Comm_set_errhandler", comm, handles.errorsReturn);
  const rank = functions.number("Comm_rank", comm);
  const size = functions.number("Comm_size", comm);
  const health = new Health();
  const isWorld = comm === handles.world;
  let closed = false;
  const named = (call: string): string => `rank ${rank}: ${call}`;
  const live = (call: string): void => {
    if (closed || job.closed) {
      throw new OptimError("disposed", named(call), { expected: "a communicator that was not closed" });
    }
    health.check();
  };
  const starting = (start: () => Started): Started => {
    try {
      return start();
    } catch (error) {
      throw health.fail(error as OptimError);
    }
  };
  const waitSync = (call: string, starts: readonly (() => Started)[]): void => {
    live(call);
    for (const start of starts) job.waitSync(named(call), starting(start)[0], health);
  };
  const wait = async (call: string, starts: readonly (() => Started)[]): Promise<void> => {
    live(call);
    for (const start of starts) {
      const [request, ...buffers] = starting(start);
      await job.wait(named(call), request, health, buffers);
    }
  };

  const callOfSum = named("allReduce");
  const sumOf = (part: Summable): Started => {
    const type = part instanceof Int32Array ? handles.int : handles.float;
    return [functions.startSum(part, part.length, type, handles.sum, comm), part];
  };
  const reduction = (buffer: Summable): readonly (() => Started)[] => {
    requireSummable(buffer, callOfSum);
    return pieces(buffer, sumOf);
  };
  const copy = (buffer: ArrayBufferView, root: number): readonly (() => Started)[] => {
    requireBuffer(buffer, named("broadcast"));
    requireRank(root, size, named("broadcast: root"));
    return pieces(bytesOf(buffer), (part) => [
      functions.start("Ibcast", part, part.length, handles.byte, root, comm),
      part,
    ]);
  };
  const slices = (
    call: "allToAll" | "allGather",
    from: ArrayBufferView,
    to: ArrayBufferView,
  ): readonly (() => Started)[] => {
    requireSlices(from, to, size, call);
    const count = to.byteLength / size;
    if (count >= 2 ** 31) {
      throw new OptimError("unsupported", named(call), { expected: "slices below 2 GiB", received: count });
    }
    const [source, target] = [bytesOf(from), bytesOf(to)];
    const name = call === "allToAll" ? "Ialltoall" : "Iallgather";
    return [
      () => [
        functions.start(name, source, count, handles.byte, target, count, handles.byte, comm),
        source,
        target,
      ],
    ];
  };

  return {
    kind: "communicator",
    rank,
    size,
    version,
    allReduce: async (buffer) => wait("allReduce", reduction(buffer)),
    allReduceSync: (buffer) => waitSync("allReduce", reduction(buffer)),
    broadcast: async (buffer, root = 0) => wait("broadcast", copy(buffer, root)),
    allToAll: async (from, to) => wait("allToAll", slices("allToAll", from, to)),
    allToAllSync: (from, to) => waitSync("allToAll", slices("allToAll", from, to)),
    allGather: async (from, to) => wait("allGather", slices("allGather", from, to)),
    allGatherSync: (from, to) => waitSync("allGather", slices("allGather", from, to)),
    duplicate() {
      const made = abi.cell();
      waitSync("duplicate", [() => [functions.start("Comm_idup", comm, made), made]]);
      return mpiCommunicator(job, made[0], version);
    },
    abort: (exitCode = 70) => functions.abort(handles.world, exitCode),
    close() {
      if (closed || job.closed) return;
      if (!isWorld) {
        closed = true;
        if (!health.failed) functions.call("Comm_free", cellOf(abi.cell(), comm));
        return;
      }
      // A job that failed cannot end together: the exit of this process aborts it.
      if (health.failed) return;
      // MPI_Finalize waits for all ranks and cannot be given up.
      waitSync("close", [() => [functions.start("Ibarrier", comm)]]);
      closed = true;
      job.finalize();
    },
  };
}

/** One start for each piece of a buffer. */
function pieces<B extends Summable | Uint8Array>(
  buffer: B,
  start: (part: B) => Started,
): readonly (() => Started)[] {
  if (buffer.length <= mostElements) return [() => start(buffer)];
  const count = Math.ceil(buffer.length / mostElements);
  return Array.from({ length: count }, (_, index) => () => {
    const part = buffer.subarray(index * mostElements, (index + 1) * mostElements);
    return start(part as B);
  });
}

function cellOf(cell: HandleCell, handle: Handle): HandleCell {
  cell[0] = handle as never;
  return cell;
}
