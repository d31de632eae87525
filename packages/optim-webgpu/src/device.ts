import { OptimError } from "@mm/optim-core";
import { memo } from "@mm/optim-core/backend";
import type { KernelSource } from "./kernel/index.ts";

/** Values of `GPUBufferUsage` and its like, which are no globals where WebGPU is handed in (Node). */
export const bufferUsage = {
  mapRead: 0x0001,
  copyTarget: 0x0008,
  uniform: 0x0040,
} as const;
const mapForReading = 0x0001;
const computeStage = 0x4;

/** Storage that is read by copies, and written by the host: what every buffer that kernels work on is made for. */
export const workingUsage = 0x008c;

/** Bindings of storage buffers begin at multiples of this, on every device. */
export const bindingAlignment = 256;

/** Bytes of a buffer. Offset and size are multiples of 4. */
export interface ByteRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** A pipeline with the layout of its group 0. */
export interface Kernel {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** A read that was asked for. */
interface Read {
  readonly ranges: readonly ByteRange[];
  readonly resolve: (bytes: ArrayBuffer) => void;
  readonly reject: (error: unknown) => void;
}

const devices = /* @__PURE__ */ new WeakMap<GPUDevice, Device>();

/** What all optimizers on one device have in common: the order in which they use its queue, its kernels, its end. */
export function deviceOf(gpu: GPUDevice): Device {
  return memo(devices, gpu, () => new Device(gpu));
}

export class Device {
  readonly gpu: GPUDevice;
  readonly #kernels = new Map<string, Kernel>();
  /** Finished, and waiting for a step that follows. */
  #held: GPUCommandBuffer[] = [];
  /** Reads of this tick, whose copies are not enqueued yet. */
  #reads: Read[] = [];
  /** Reads that wait for the device. */
  readonly #waiting = new Set<Read>();
  #lost: GPUDeviceLostInfo | undefined;
  readonly #losing: Promise<void>;

  constructor(gpu: GPUDevice) {
    this.gpu = gpu;
    this.#losing = gpu.lost.then((info) => {
      this.#lost = info;
      this.#held = [];
      for (const { reject } of this.#waiting) reject(this.#lostError());
      this.#waiting.clear();
    });
  }

  /** @throws OptimError `device-lost` */
  requireLive(): void {
    if (this.#lost !== undefined) throw this.#lostError();
  }

  /** Zeros, for kernels and copies. At least 16 bytes, which is what the largest element of a kernel's array takes. */
  createBuffer(label: string, size: number, usage: number = workingUsage): GPUBuffer {
    this.requireLive();
    return this.gpu.createBuffer({
      label: `optim ${label}`,
      size: Math.max(16, Math.ceil(size / 4) * 4),
      usage,
    });
  }

  createEncoder(label: string): GPUCommandEncoder {
    this.requireLive();
    return this.gpu.createCommandEncoder({ label: `optim ${label}` });
  }

  /** Compiled at first. */
  kernel({ label, code, entryPoint, bindings }: KernelSource): Kernel {
    return memo(this.#kernels, code, () => {
      const layout = this.gpu.createBindGroupLayout({
        label,
        entries: bindings.map((type, binding) => ({ binding, visibility: computeStage, buffer: { type } })),
      });
      const pipeline = this.gpu.createComputePipeline({
        label,
        layout: this.gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
        compute: { module: this.gpu.createShaderModule({ label, code }), entryPoint },
      });
      return { label, pipeline, layout };
    });
  }

  bind({ label, layout }: Kernel, bindings: readonly GPUBufferBinding[]): GPUBindGroup {
    return this.gpu.createBindGroup({
      label,
      layout,
      entries: bindings.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** After all that was held back and read before. */
  submit(commands: readonly GPUCommandBuffer[]): void {
    this.requireLive();
    this.#settleReads();
    const all = [...this.#held, ...commands];
    this.#held = [];
    this.gpu.queue.submit(all);
  }

  /** Submits commands with what comes next. */
  hold(commands: readonly GPUCommandBuffer[]): void {
    this.#held.push(...commands);
  }

  /** Submits what was held back. Does nothing on a lost device. */
  flush(): void {
    if (this.#held.length > 0 && this.#lost === undefined) this.submit([]);
  }

  /** After all that was submitted, held back and read before. */
  write(buffer: GPUBuffer, offset: number, data: Float32Array | Uint32Array): void {
    this.requireLive();
    this.flush();
    this.#settleReads();
    this.gpu.queue.writeBuffer(buffer, offset, data);
  }

  /**
   * A copy of ranges, one after the other, as of the call: of buffers that only optimizers write to. All that is asked for in one tick is
   * copied through one buffer and mapped once.
   *
   * @throws OptimError `device-lost`, `device-error` (rejects)
   */
  read(ranges: readonly ByteRange[]): Promise<ArrayBuffer> {
    this.requireLive();
    this.flush();
    return new Promise((resolve, reject) => {
      if (this.#reads.length === 0) queueMicrotask(() => this.#settleReads());
      this.#reads.push({ ranges, resolve, reject });
    });
  }

  /** The same for buffers that anybody may write to: whatever they do next comes after it. */
  readNow(ranges: readonly ByteRange[]): Promise<ArrayBuffer> {
    const reading = this.read(ranges);
    this.#settleReads();
    return reading;
  }

  /** Submits all that was held back or read so far. */
  settle(): void {
    this.flush();
    this.#settleReads();
  }

  #settleReads(): void {
    if (this.#reads.length === 0) return;
    const reads = this.#reads;
    this.#reads = [];
    if (this.#lost !== undefined) {
      for (const { reject } of reads) reject(this.#lostError());
      return;
    }
    void this.#copy(reads);
  }

  async #copy(reads: readonly Read[]): Promise<void> {
    this.gpu.pushErrorScope("validation");
    const staging = new Staging(this.gpu, reads);
    const refused = this.gpu.popErrorScope();
    for (const read of reads) this.#waiting.add(read);
    try {
      const [copies, error] = await Promise.all([staging.copies(), refused]);
      if (error !== null) throw new Error(error.message);
      for (const [index, { resolve }] of reads.entries()) resolve(copies[index] as ArrayBuffer);
    } catch (cause) {
      const error = await this.#readError(cause);
      for (const { reject } of reads) reject(error);
    }
    staging.destroy();
    for (const read of reads) this.#waiting.delete(read);
  }

  /** A mapping that fails because its device is lost may fail before that is known. */
  async #readError(cause: unknown): Promise<OptimError> {
    const idle = this.gpu.queue.onSubmittedWorkDone().catch(() => {});
    await Promise.race([this.#losing, idle]);
    if (this.#lost !== undefined) return this.#lostError();
    return new OptimError("device-error", "@mm/optim-webgpu: read", {
      expected: "that the device copies and maps buffers",
      received: (cause as Error).message,
      cause,
    });
  }

  #lostError(): OptimError {
    const { reason, message } = this.#lost as GPUDeviceLostInfo;
    return new OptimError("device-lost", "@mm/optim-webgpu", {
      expected: "a live GPUDevice",
      received: [reason, message].filter((part) => part !== "").join(": "),
      hint: "Make a new optimizer on a new device, with the parameters that you saved, and load its last stateDict()",
    });
  }
}

/** Where reads are copied to: one buffer, or as many as it takes where there is more than a buffer may hold. */
class Staging {
  readonly #buffers: GPUBuffer[] = [];
  readonly #pieces: readonly (readonly (ByteRange & { readonly staged: number; readonly at: number })[])[];
  readonly #mapped: Promise<unknown>;

  /** Enqueues the copies. */
  constructor(gpu: GPUDevice, reads: readonly Read[]) {
    const { maxBufferSize } = gpu.limits;
    const sizes = [0];
    this.#pieces = reads.map(({ ranges }) =>
      ranges.map((range) => {
        if ((sizes.at(-1) as number) + range.size > maxBufferSize) sizes.push(0);
        const staged = sizes.length - 1;
        const at = sizes[staged] as number;
        sizes[staged] = at + range.size;
        return { ...range, staged, at };
      }),
    );
    for (const size of sizes) {
      const usage = bufferUsage.mapRead | bufferUsage.copyTarget;
      this.#buffers.push(gpu.createBuffer({ label: "optim read", size: Math.max(4, size), usage }));
    }
    const encoder = gpu.createCommandEncoder({ label: "optim read" });
    for (const { buffer, offset, size, staged, at } of this.#pieces.flat()) {
      if (size > 0) encoder.copyBufferToBuffer(buffer, offset, this.#buffers[staged] as GPUBuffer, at, size);
    }
    gpu.queue.submit([encoder.finish()]);
    this.#mapped = Promise.all(this.#buffers.map((buffer) => buffer.mapAsync(mapForReading)));
  }

  /** By read: its ranges, one after the other. */
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
