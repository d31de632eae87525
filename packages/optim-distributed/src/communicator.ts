import { type OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";

/** A buffer that can be summed. */
export type Summable = Float32Array | Int32Array;

/**
 * The ranks of one job, and the exchanges between them. A rank is one process (or thread) of the job; all run the same program.
 *
 * Every call but `abort` is collective: each rank makes the same calls on a communicator, in the same order, with buffers of the same
 * type and length. A buffer belongs to the communicator until the call is done, and has at least one element.
 *
 * An exchange that failed leaves its buffer undefined and the communicator unusable: every later call throws the same error.
 *
 * Calls throw, or reject with, OptimError `communication-timeout` when another rank does not take part in time, `communication-error` when
 * the transport fails or a rank is gone, `communication-mismatch` where it is seen that ranks do different things, `disposed` after `close()`.
 */
export interface Communicator {
  readonly kind: "communicator";
  /** From 0 to `size - 1`. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  /**
   * Sums over all ranks, in place. All ranks get the same bits. The event loop runs meanwhile.
   *
   * @throws OptimError `invalid-option` for a buffer of another type, without elements or detached
   */
  allReduce(buffer: Summable): Promise<void>;
  /** The same, waiting. Absent where a transport cannot wait. */
  readonly allReduceSync?: ((buffer: Summable) => void) | undefined;
  /** Copies the root's bytes into the buffers of all others. Default root: 0. */
  broadcast(buffer: ArrayBufferView, root?: number): Promise<void>;
  /** A communicator of the same ranks with a sequence of calls of its own, so that two users of one job cannot take each other's messages. */
  duplicate(): Communicator;
  /** Ends the job on all ranks, with this exit code. Default 70. */
  abort(exitCode?: number): void;
  /** Ends this communicator. Twice is fine. */
  close(): void;
}

/** A communicator that exchanges slices as well: for sums whose numbers travel in another format. */
export interface SlicingCommunicator extends Communicator {
  /** Both buffers are `size` slices of one length: slice r of `from` becomes slice `rank` of rank r's `to`. */
  allToAll(from: ArrayBufferView, to: ArrayBufferView): Promise<void>;
  readonly allToAllSync?: ((from: ArrayBufferView, to: ArrayBufferView) => void) | undefined;
  /** `from` of rank r becomes slice r of every rank's `to`, which is `size` times as long. */
  allGather(from: ArrayBufferView, to: ArrayBufferView): Promise<void>;
  readonly allGatherSync?: ((from: ArrayBufferView, to: ArrayBufferView) => void) | undefined;
  duplicate(): SlicingCommunicator;
}

/** A communicator whose sums are rounded on the way. */
export interface LossyCommunicator extends Communicator {
  /** The one below it, whose sums are float32. Numbers that must not be rounded (weights, counts) take this one. */
  readonly exact: Communicator;
  duplicate(): LossyCommunicator;
}

/** @throws OptimError `invalid-option` */
export function requireCommunicator(communicator: Communicator, who: string): void {
  const given = communicator as Partial<Communicator> | null | undefined;
  if (given?.kind !== "communicator") {
    refuse("invalid-option", `${who}: communicator`, "a communicator, as openMpi() returns", communicator);
  }
}

/** @throws OptimError `invalid-option` for what is no buffer, has no elements, or was detached (its memory grew or was transferred) */
export function requireBuffer(buffer: ArrayBufferView, who: string): void {
  if (ArrayBuffer.isView(buffer) && buffer.byteLength > 0) return;
  refuse("invalid-option", `${who}: buffer`, "a typed array with elements that is not detached", buffer);
}

/** @throws OptimError `invalid-option` */
export function requireSummable(buffer: Summable, who: string): void {
  requireBuffer(buffer, who);
  if (buffer instanceof Float32Array || (buffer as unknown) instanceof Int32Array) return;
  refuse("invalid-option", `${who}: buffer`, "a Float32Array or an Int32Array", buffer);
}

/** @throws OptimError `invalid-option` */
export function requireRank(rank: number, size: number, who: string): void {
  if (Number.isSafeInteger(rank) && rank >= 0 && rank < size) return;
  refuse("invalid-option", who, `a rank below ${size}`, rank);
}

/** @throws OptimError `invalid-option` where the buffers of an exchange of slices do not fit */
export function requireSlices(from: ArrayBufferView, to: ArrayBufferView, size: number, who: string): void {
  requireBuffer(from, who);
  requireBuffer(to, who);
  if (who === "allGather" && to.byteLength === from.byteLength * size) return;
  if (who === "allToAll" && to.byteLength === from.byteLength && from.byteLength % size === 0) return;
  const expected =
    who === "allGather" ? `${size} times ${from.byteLength} bytes` : `${size} equal slices of both`;
  refuse("invalid-option", `${who}: to`, expected, to.byteLength);
}

export const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Remembers the first failure: the sequence of calls is broken then, on this rank at least. */
export class Health {
  #failure: OptimError | undefined;

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** @throws the first failure */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  fail(error: OptimError): OptimError {
    return (this.#failure ??= error);
  }
}
