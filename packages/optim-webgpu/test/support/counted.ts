/** The calls on a device since `reset()`, and the objects that it holds. */
interface Counts {
  dispatches: number;
  /** Compute passes begun. */
  passes: number;
  submits: number;
  /** `copyBufferToBuffer`. */
  copies: number;
  /** `clearBuffer`. */
  clears: number;
  writeBuffer: number;
  mapAsync: number;
  createBuffer: number;
  createBindGroup: number;
  createShaderModule: number;
  /** `createComputePipeline` and `createComputePipelineAsync`. */
  createComputePipeline: number;
}

export interface CountedDevice {
  readonly counts: Readonly<Counts>;
  /** Buffers made since counting began and not destroyed since, and their bytes. Being collected frees nothing here: what is not destroyed counts. */
  readonly alive: { readonly buffers: number; readonly bytes: number };
  reset(): void;
}

const none: Counts = {
  dispatches: 0,
  passes: 0,
  submits: 0,
  copies: 0,
  clears: 0,
  writeBuffer: 0,
  mapAsync: 0,
  createBuffer: 0,
  createBindGroup: 0,
  createShaderModule: 0,
  createComputePipeline: 0,
};

/** Counts from now on what is done with the device, by whomever. The device stays the same object; once only for each device. */
export function countDevice(device: GPUDevice): CountedDevice {
  const counts = { ...none };
  const alive = new Map<GPUBuffer, number>();

  const watchBuffer = (buffer: GPUBuffer): void => {
    alive.set(buffer, buffer.size);
    after(buffer, "destroy", () => alive.delete(buffer));
    after(buffer, "mapAsync", () => (counts.mapAsync += 1));
  };
  const watchPass = (pass: GPUComputePassEncoder): void => {
    counts.passes += 1;
    after(pass, "dispatchWorkgroups", () => (counts.dispatches += 1));
    after(pass, "dispatchWorkgroupsIndirect", () => (counts.dispatches += 1));
  };
  const watchEncoder = (encoder: GPUCommandEncoder): void => {
    after(encoder, "beginComputePass", watchPass);
    after(encoder, "copyBufferToBuffer", () => (counts.copies += 1));
    after(encoder, "clearBuffer", () => (counts.clears += 1));
  };

  after(device, "createBuffer", (buffer) => {
    counts.createBuffer += 1;
    watchBuffer(buffer);
  });
  after(device, "createBindGroup", () => (counts.createBindGroup += 1));
  after(device, "createShaderModule", () => (counts.createShaderModule += 1));
  after(device, "createComputePipeline", () => (counts.createComputePipeline += 1));
  after(device, "createComputePipelineAsync", () => (counts.createComputePipeline += 1));
  after(device, "createCommandEncoder", watchEncoder);
  after(device.queue, "submit", () => (counts.submits += 1));
  after(device.queue, "writeBuffer", () => (counts.writeBuffer += 1));

  return {
    counts,
    get alive() {
      return { buffers: alive.size, bytes: [...alive.values()].reduce((sum, bytes) => sum + bytes, 0) };
    },
    reset: () => void Object.assign(counts, none),
  };
}

/** Puts a method of the same name in front of the object's own, which tells what the own one returned. */
function after<T extends object, K extends keyof T>(
  object: T,
  name: K,
  tell: (result: T[K] extends (...args: never) => infer R ? R : never) => void,
): void {
  const own = object[name] as (...args: unknown[]) => unknown;
  Object.defineProperty(object, name, {
    configurable: true,
    value(...args: unknown[]) {
      const result = own.apply(object, args);
      tell(result as never);
      return result;
    },
  });
}
