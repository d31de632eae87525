import { OptimError } from "@mm/optim-core";
import { lostError } from "./lost.ts";
import { type ByteRange, Staging } from "./staging.ts";

/** A read that was asked for. */
interface Read {
  readonly who: string;
  readonly ranges: readonly ByteRange[];
  readonly resolve: (bytes: ArrayBuffer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads of one device. All that are asked for in one tick are copied through one buffer and mapped once; each has its bytes as of its
 * call, since nothing that could change them is enqueued before `settle()`.
 */
export class Reads {
  readonly #gpu: GPUDevice;
  /** Of this tick: their copies are not enqueued yet. */
  #asked: Read[] = [];
  /** Enqueued, and waiting for the device. */
  readonly #waiting = new Set<Read>();
  #lost: GPUDeviceLostInfo | undefined;
  readonly #losing: Promise<void>;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.#losing = gpu.lost.then((info) => {
      this.#lost = info;
      for (const { who, reject } of this.#waiting) reject(lostError(who, info));
      this.#waiting.clear();
    });
  }

  /** @throws OptimError `device-lost`, `device-error` (rejects) */
  ask(who: string, ranges: readonly ByteRange[]): Promise<ArrayBuffer> {
    return new Promise((resolve, reject) => {
      if (this.#asked.length === 0) queueMicrotask(() => this.settle());
      this.#asked.push({ who, ranges, resolve, reject });
    });
  }

  /** Enqueues the copies of all that was asked for. */
  settle(): void {
    if (this.#asked.length === 0) return;
    const reads = this.#asked;
    this.#asked = [];
    if (this.#lost === undefined) void this.#copy(reads);
    else for (const { who, reject } of reads) reject(lostError(who, this.#lost));
  }

  async #copy(reads: readonly Read[]): Promise<void> {
    this.#gpu.pushErrorScope("validation");
    const staging = new Staging(
      this.#gpu,
      reads.map(({ ranges }) => ranges),
    );
    const refused = this.#gpu.popErrorScope();
    for (const read of reads) this.#waiting.add(read);
    try {
      const [copies, error] = await Promise.all([staging.copies(), refused]);
      if (error !== null) throw new Error(error.message);
      for (const [index, { resolve }] of reads.entries()) resolve(copies[index] as ArrayBuffer);
    } catch (cause) {
      await this.#known();
      for (const { who, reject } of reads) reject(this.#errorOf(who, cause));
    }
    staging.destroy();
    for (const read of reads) this.#waiting.delete(read);
  }

  /** A mapping that fails because its device is lost may fail before that is known. */
  async #known(): Promise<void> {
    const idle = this.#gpu.queue.onSubmittedWorkDone().catch(() => {});
    await Promise.race([this.#losing, idle]);
  }

  #errorOf(who: string, cause: unknown): OptimError {
    if (this.#lost !== undefined) return lostError(who, this.#lost);
    return new OptimError("device-error", `${who}: read`, {
      expected: "a device that copies and maps buffers",
      received: (cause as Error).message.trim(),
      cause,
    });
  }
}
