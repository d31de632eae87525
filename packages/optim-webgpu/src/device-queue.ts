import { memo } from "@mm/optim-core/backend";
import type { KernelSource } from "./kernel/index.ts";
import { lostError } from "./lost.ts";
import { Reads } from "./reads.ts";
import type { ByteRange } from "./staging.ts";
import { computeStage } from "./usage.ts";

/** A pipeline with the layout of its group 0. */
export interface Kernel {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const queues = /* @__PURE__ */ new WeakMap<GPUDevice, DeviceQueue>();

export function queueOf(gpu: GPUDevice): DeviceQueue {
  return memo(queues, gpu, () => new DeviceQueue(gpu));
}

/** All that optimizers on one device share, of whatever backend: the order of what they enqueue, their kernels, the device's end. */
export class DeviceQueue {
  readonly #gpu: GPUDevice;
  readonly #kernels = new Map<string, Kernel>();
  readonly #reads: Reads;
  /** Finished, and waiting for a step that follows. */
  #held: GPUCommandBuffer[] = [];
  #lost: GPUDeviceLostInfo | undefined;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    void gpu.lost.then((info) => {
      this.#lost = info;
      this.#held = [];
    });
    this.#reads = new Reads(gpu);
  }

  /** @throws OptimError `device-lost` */
  requireLive(who: string): void {
    if (this.#lost !== undefined) throw lostError(who, this.#lost);
  }

  /** Compiled at first. */
  kernel(source: KernelSource): Kernel {
    return memo(this.#kernels, source.code, () => compile(this.#gpu, source));
  }

  /** After all that was held back and read before. @throws OptimError `device-lost` */
  submit(who: string, commands: readonly GPUCommandBuffer[]): void {
    this.requireLive(who);
    this.#reads.settle();
    const all = [...this.#held, ...commands];
    this.#held = [];
    this.#gpu.queue.submit(all);
  }

  /** Submits commands with what comes next. */
  hold(commands: readonly GPUCommandBuffer[]): void {
    this.#held.push(...commands);
  }

  /** Submits what was held back. Does nothing on a lost device. */
  flush(): void {
    if (this.#held.length > 0 && this.#lost === undefined) this.submit("flush", []);
  }

  /** After all that was submitted, held back and read before. @throws OptimError `device-lost` */
  write(who: string, buffer: GPUBuffer, offset: number, data: Float32Array | Uint32Array): void {
    this.requireLive(who);
    this.settle();
    this.#gpu.queue.writeBuffer(buffer, offset, data);
  }

  /** @throws OptimError `device-lost`, at the call; `device-lost`, `device-error`, as a rejection */
  read(who: string, ranges: readonly ByteRange[]): Promise<ArrayBuffer> {
    this.requireLive(who);
    this.flush();
    return this.#reads.ask(who, ranges);
  }

  /** Submits all that was held back or read so far. */
  settle(): void {
    this.flush();
    this.#reads.settle();
  }
}

function compile(gpu: GPUDevice, { label, code, entryPoint, bindings }: KernelSource): Kernel {
  const layout = gpu.createBindGroupLayout({
    label,
    entries: bindings.map((type, binding) => ({ binding, visibility: computeStage, buffer: { type } })),
  });
  const pipeline = gpu.createComputePipeline({
    label,
    layout: gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    compute: { module: gpu.createShaderModule({ label, code }), entryPoint },
  });
  return { label, pipeline, layout };
}
