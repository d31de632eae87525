import { fromBfloat16, refuse, toBfloat16 } from "@mm/optim-core/backend";
import { oneOf, checkSchema } from "@mm/optim-core/schema";
import {
  type Communicator,
  type LossyCommunicator,
  requireCommunicator,
  requireSummable,
  type SlicingCommunicator,
  type Summable,
} from "./communicator.ts";

const who = "compressed";

/**
 * Sums of Float32Arrays whose numbers travel as bfloat16: half the bytes, 8 significant bits. Each rank gets a slice of every rank's
 * numbers (all-to-all), sums it in float32 in the order of ranks, and sends the rounded sum to all (all-gather): every number is rounded twice,
 * however many ranks there are, and all ranks get the same bits. Int32Arrays, `broadcast` and what `distributed` and `dataParallel` send beside
 * gradients (weights, presence) are not rounded.
 *
 * Worth it where the network is the bottleneck; rounding costs two passes over the buffer. Closing it closes the communicator.
 *
 * @throws OptimError `invalid-option`, `unsupported` for a communicator that exchanges no slices
 */
export function compressed(communicator: SlicingCommunicator, format: "bf16"): LossyCommunicator {
  requireCommunicator(communicator, who);
  checkSchema("invalid-option", `${who}: format`, format, oneOf("bf16"));
  const { size, rank, allReduceSync, allToAllSync, allGatherSync } = communicator;
  const given: unknown = communicator.allToAll;
  if (typeof given !== "function") {
    refuse(
      "unsupported",
      `${who}: communicator`,
      "one that exchanges slices (allToAll, allGather)",
      communicator,
    );
  }
  let buffers: Buffers | undefined;
  /** Buffers for one sum, kept for the next of the same length; sums in flight at once have their own. */
  const take = (length: number): Buffers => {
    const kept = buffers?.length === length ? buffers : new Buffers(length, size);
    buffers = undefined;
    return kept;
  };
  const waits = allReduceSync !== undefined && allToAllSync !== undefined && allGatherSync !== undefined;
  return {
    kind: "communicator",
    rank,
    size,
    exact: communicator,
    async allReduce(buffer: Summable) {
      requireSummable(buffer, "allReduce");
      if (!(buffer instanceof Float32Array)) return communicator.allReduce(buffer);
      const taken = take(buffer.length);
      taken.pack(buffer);
      await communicator.allToAll(taken.sent, taken.received);
      taken.sum();
      await communicator.allGather(taken.slice, taken.all);
      fromBfloat16(taken.all, buffer);
      buffers = taken;
    },
    ...(waits && {
      allReduceSync(buffer: Summable) {
        requireSummable(buffer, "allReduce");
        if (!(buffer instanceof Float32Array)) return allReduceSync(buffer);
        const taken = take(buffer.length);
        taken.pack(buffer);
        allToAllSync(taken.sent, taken.received);
        taken.sum();
        allGatherSync(taken.slice, taken.all);
        fromBfloat16(taken.all, buffer);
        buffers = taken;
      },
    }),
    broadcast: (buffer, root) => communicator.broadcast(buffer, root),
    duplicate: () => compressed(communicator.duplicate(), format),
    abort: (exitCode) => communicator.abort(exitCode),
    close: () => communicator.close(),
  };
}

/** Whether sums of this communicator are rounded. */
export function isLossy(communicator: Communicator): communicator is LossyCommunicator {
  return (communicator as Partial<LossyCommunicator>).exact !== undefined;
}

/** For sums of one length; the last slice is filled up with zeros. */
class Buffers {
  readonly length: number;
  readonly sent: Uint16Array;
  readonly received: Uint16Array;
  readonly slice: Uint16Array;
  readonly all: Uint16Array;
  readonly #sum: Float32Array;
  readonly #terms: Float32Array;

  constructor(length: number, size: number) {
    const slice = Math.ceil(length / size);
    this.length = length;
    this.sent = new Uint16Array(slice * size);
    this.received = new Uint16Array(slice * size);
    this.slice = new Uint16Array(slice);
    this.all = new Uint16Array(slice * size);
    this.#sum = new Float32Array(slice);
    this.#terms = new Float32Array(slice);
  }

  pack(buffer: Float32Array): void {
    toBfloat16(buffer, this.sent);
  }

  /** Sums this rank's slice over all ranks, in their order. */
  sum(): void {
    const sum = this.#sum;
    const terms = this.#terms;
    fromBfloat16(this.received, sum);
    for (let from = sum.length; from < this.received.length; from += sum.length) {
      fromBfloat16(this.received.subarray(from), terms);
      for (let index = 0; index < sum.length; index += 1) (sum[index] as number) += terms[index] as number;
    }
    toBfloat16(sum, this.slice);
  }
}
