import { bufferUsage, mapForReading } from "./usage.ts";

/** Bytes of a buffer. Offset and size are multiples of 4. */
export interface ByteRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** A range with the staging buffer it is copied to, and where in it. */
interface Piece extends ByteRange {
  readonly staged: number;
  readonly at: number;
}

/** Where reads are copied to: one buffer, or as many as it takes where there is more than a buffer may hold. */
export class Staging {
  readonly #buffers: readonly GPUBuffer[];
  readonly #pieces: readonly (readonly Piece[])[];
  readonly #mapped: Promise<unknown>;

  /** Enqueues the copies. */
  constructor(gpu: GPUDevice, reads: readonly (readonly ByteRange[])[]) {
    const sizes = [0];
    this.#pieces = reads.map((ranges) =>
      ranges.map((range) => place(range, sizes, gpu.limits.maxBufferSize)),
    );
    this.#buffers = sizes.map((size) =>
      gpu.createBuffer({
        label: "optim read",
        size: Math.max(4, size),
        usage: bufferUsage.mapRead | bufferUsage.copyTarget,
      }),
    );
    const encoder = gpu.createCommandEncoder({ label: "optim read" });
    for (const { buffer, offset, size, staged, at } of this.#pieces.flat()) {
      if (size > 0) encoder.copyBufferToBuffer(buffer, offset, this.#buffers[staged] as GPUBuffer, at, size);
    }
    gpu.queue.submit([encoder.finish()]);
    this.#mapped = Promise.all(this.#buffers.map((buffer) => buffer.mapAsync(mapForReading)));
  }

  /** By read: its ranges, one after the other. Waits for the device. */
  async copies(): Promise<ArrayBuffer[]> {
    await this.#mapped;
    const mapped = this.#buffers.map((buffer) => new Uint8Array(buffer.getMappedRange()));
    return this.#pieces.map((pieces) => {
      const copy = new Uint8Array(pieces.reduce((sum, { size }) => sum + size, 0));
      let start = 0;
      for (const { staged, at, size } of pieces) {
        copy.set((mapped[staged] as Uint8Array).subarray(at, at + size), start);
        start += size;
      }
      return copy.buffer;
    });
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

/** Puts a range behind the others of the last buffer, or into a new one. */
function place(range: ByteRange, sizes: number[], most: number): Piece {
  if ((sizes.at(-1) as number) + range.size > most) sizes.push(0);
  const staged = sizes.length - 1;
  const at = sizes[staged] as number;
  sizes[staged] = at + range.size;
  return { ...range, staged, at };
}
