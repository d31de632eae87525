import type { Test } from "@mm/optim-core/schema";
import { type DeviceQueue, type Kernel, queueOf } from "./device-queue.ts";
import type { KernelSource } from "./kernel/index.ts";
import type { ByteRange } from "./staging.ts";
import { workingUsage } from "./usage.ts";

/** A device as one optimizer sees it: errors name the optimizer's backend, and all else is shared with the others on it. */
export class Device {
  readonly gpu: GPUDevice;
  readonly backend: string;
  /** The name that errors begin with, as core's begin for calls of this optimizer. */
  readonly who: string;
  readonly #queue: DeviceQueue;

  constructor(gpu: GPUDevice, backend: string) {
    this.gpu = gpu;
    this.backend = backend;
    this.who = `${backend} optimizer`;
    this.#queue = queueOf(gpu);
  }

  /** @throws OptimError `device-lost` */
  requireLive(): void {
    this.#queue.requireLive(this.who);
  }

  /** See the function of this name. @throws OptimError `device-lost` */
  createBuffer(label: string, size: number, usage: number = workingUsage): GPUBuffer {
    this.requireLive();
    return createBuffer(this.gpu, label, size, usage);
  }

  createEncoder(label: string): GPUCommandEncoder {
    this.requireLive();
    return this.gpu.createCommandEncoder({ label: `optim ${label}` });
  }

  /** Compiled at first. */
  kernel(source: KernelSource): Kernel {
    return this.#queue.kernel(source);
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
    this.#queue.submit(this.who, commands);
  }

  /** Submits commands with what comes next. */
  hold(commands: readonly GPUCommandBuffer[]): void {
    this.#queue.hold(commands);
  }

  /** Submits what was held back. Does nothing on a lost device. */
  flush(): void {
    this.#queue.flush();
  }

  /** After all that was submitted, held back and read before. */
  write(buffer: GPUBuffer, offset: number, data: Float32Array | Uint32Array): void {
    this.#queue.write(this.who, buffer, offset, data);
  }

  /**
   * A copy of ranges, one after the other, as of the call: of buffers that only optimizers write to. All that is asked for in one tick is
   * copied through one buffer and mapped once.
   *
   * @throws OptimError `device-lost`, `device-error` (rejects)
   */
  read(ranges: readonly ByteRange[]): Promise<ArrayBuffer> {
    return this.#queue.read(this.who, ranges);
  }

  /** The same for buffers that anybody may write to: whatever they do next comes after it. */
  readNow(ranges: readonly ByteRange[]): Promise<ArrayBuffer> {
    const reading = this.read(ranges);
    this.settle();
    return reading;
  }

  /** Submits all that was held back or read so far. */
  settle(): void {
    this.#queue.settle();
  }
}

/** Zeros, for kernels and copies. At least 16 bytes, which is what the largest element of a kernel's array takes. */
export function createBuffer(
  gpu: GPUDevice,
  label: string,
  size: number,
  usage: number = workingUsage,
): GPUBuffer {
  return gpu.createBuffer({ label: `optim ${label}`, size: Math.max(16, Math.ceil(size / 4) * 4), usage });
}

/** Checks the device and its adapter in options: those of other realms and of other implementations pass as well. */
export const aDevice: Test = [
  (value: unknown) => typeof (value as Partial<GPUDevice> | null | undefined)?.createBuffer === "function",
  "a GPUDevice",
];
export const anAdapter: Test = [
  (value: unknown) => typeof (value as Partial<GPUAdapter> | null | undefined)?.limits === "object",
  "a GPUAdapter",
];
