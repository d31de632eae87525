import { scoped } from "@mm/optim-tfjs/host";
import * as tf from "@tensorflow/tfjs-core";
import { workingUsage } from "../usage.ts";
import { snapshot } from "./snapshot.ts";

/** The private parts of tfjs-backend-webgpu that are used: where a tensor is, and what it has recorded and not submitted. */
interface WebgpuBackend {
  readonly device: GPUDevice;
  readonly tensorMap: { get(dataId: object): TensorRecord };
  /** `null` while nothing is recorded. */
  readonly commandEncoder: GPUCommandEncoder | null;
  uploadToGPU(dataId: object): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  refCount(dataId: object): number;
  createTensorFromGPUData(
    data: { readonly buffer: GPUBuffer; readonly zeroCopy: boolean },
    shape: readonly number[],
    dtype: "float32",
  ): tf.Tensor;
}

interface TensorRecord {
  /** On the device; `uploadToGPU` brings it there. */
  readonly resource?: GPUBuffer | null;
  /** On the host: what was uploaded or read is kept here, and `data()` gives it. */
  values?: unknown;
  /** A buffer that somebody gave to tfjs. */
  readonly external?: boolean;
}

const isAbsent = (value: unknown): value is null | undefined => value === null || value === undefined;

const methods = [
  "uploadToGPU",
  "endComputePassEncoder",
  "submitQueue",
  "refCount",
  "createTensorFromGPUData",
] as const;

/** The host's part of a backend of tfjs; `undefined` where it is another backend, or its private parts are not as expected. */
export function findHost(backend: object): TfjsHost | undefined {
  const candidate = backend as Partial<WebgpuBackend>;
  if (!methods.every((method) => typeof candidate[method] === "function")) return undefined;
  if (typeof candidate.device?.createBuffer !== "function" || !("commandEncoder" in candidate))
    return undefined;
  try {
    return probed(candidate as WebgpuBackend) ? new TfjsHost(candidate as WebgpuBackend) : undefined;
  } catch {
    return undefined;
  }
}

/** Looks whether a tensor gets a buffer of its own when it is uploaded, and whether a flush leaves nothing behind. */
function probed(backend: WebgpuBackend): boolean {
  return scoped(() => {
    const { dataId } = tf.tensor1d([1.5, -2.25, 3]);
    const before = backend.tensorMap.get(dataId);
    if (isAbsent(before.values) || !isAbsent(before.resource) || backend.refCount(dataId) !== 1) return false;
    backend.uploadToGPU(dataId);
    const { resource, values } = backend.tensorMap.get(dataId);
    new TfjsHost(backend).flush();
    const isBuffer = resource?.size === 12 && (resource.usage & workingUsage) === workingUsage;
    return isBuffer && isAbsent(values) && isAbsent(backend.commandEncoder);
  });
}

/** tfjs keeps no host copy of these tensors. */
const uncached = /* @__PURE__ */ new WeakSet<TensorRecord>();

/** tfjs-backend-webgpu, as far as optimizers write into its variables. */
export class TfjsHost {
  readonly device: GPUDevice;
  readonly #backend: WebgpuBackend;

  constructor(backend: WebgpuBackend) {
    this.#backend = backend;
    this.device = backend.device;
  }

  /** The buffer of a tensor that is not empty. Where it is still on the host, or on another backend, it comes here. */
  bufferOf({ dataId }: tf.Tensor): GPUBuffer {
    const record = this.#backend.tensorMap.get(dataId);
    if (isAbsent(record.resource)) {
      this.#backend.uploadToGPU(dataId);
      // Whatever is submitted next finds it there.
      this.flush();
    }
    return record.resource as GPUBuffer;
  }

  /** Brings tensors to the device together, and submits all that computes them. */
  settle(tensors: readonly tf.Tensor[]): void {
    for (const { dataId, size } of tensors) if (size > 0) this.#backend.uploadToGPU(dataId);
    this.flush();
  }

  /**
   * Makes variables ready to be written: what shares data with one (a clone, a reshape, the tensor that it was made from, the caller's own
   * buffer) keeps its values, since the variable gets its own copy first.
   *
   * @param beforeWork called before tfjs is given any: memory that tfjs takes for it may be that of gradients whose copies are held back
   */
  own(variables: readonly tf.Variable[], beforeWork: () => void): void {
    for (const variable of variables) {
      if (variable.size === 0 || this.#isOwned(variable)) continue;
      beforeWork();
      const { dataId } = variable;
      const { external } = this.#backend.tensorMap.get(dataId);
      if (external === true || this.#backend.refCount(dataId) !== 1) {
        scoped(() => variable.assign(snapshot(variable)));
      }
      this.#stopCaching(variable);
    }
  }

  #isOwned({ dataId }: tf.Variable): boolean {
    return uncached.has(this.#backend.tensorMap.get(dataId)) && this.#backend.refCount(dataId) === 1;
  }

  /** Submits what tfjs has recorded, if it has. */
  flush(): void {
    if (isAbsent(this.#backend.commandEncoder)) return;
    this.#backend.endComputePassEncoder();
    this.#backend.submitQueue();
  }

  /** A scalar tensor that is the first float32 of a buffer, whatever is written there. The buffer is not freed with it. */
  scalarOver(buffer: GPUBuffer): tf.Scalar {
    const data = { buffer, zeroCopy: true };
    return tf.keep(this.#backend.createTensorFromGPUData(data, [], "float32")) as tf.Scalar;
  }

  /**
   * A step makes values on the host out of date; and a read that is under way puts them there after it. So from the first step on a variable
   * keeps none: every `data()` asks the device.
   */
  #stopCaching(variable: tf.Variable): void {
    this.bufferOf(variable);
    const record = this.#backend.tensorMap.get(variable.dataId);
    Object.defineProperty(record, "values", { get: () => null, set() {} });
    uncached.add(record);
  }
}
