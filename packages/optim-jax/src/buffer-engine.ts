import { getWebGPUDevice, numpy as np } from "@jax-js/jax";
import type { Engine, GradientRequest, Gradients } from "@mm/optim-core/backend";
import {
  copyGradients,
  createEngine,
  type ParameterPort,
  requireRoom,
  type StepScalar,
  type Vector,
  type WebgpuBinding,
  type WebgpuEngine,
} from "@mm/optim-webgpu/host";
import { bufferOf, copyBuffer, copyOf } from "./arrays.ts";
import type { BufferCell } from "./cell.ts";
import { describeVariable, liveCell } from "./describe.ts";
import { differentiate } from "./differentiate.ts";
import type { JaxLoss } from "./loss.ts";
import { cellOf, type Variable } from "./variable.ts";

type BufferEngine = Engine<JaxLoss, np.Array, Variable, Vector, Vector, StepScalar>;
type Request = GradientRequest<Variable, Vector, StepScalar>;

const backend = "jax-webgpu";

/** jax-js differentiates on its device, and the kernels of `@mm/optim-webgpu` write into the buffers of the variables. */
export function bufferEngine(): BufferEngine {
  const device = getWebGPUDevice();
  const cellsOf = (values: readonly Variable[]): BufferCell[] =>
    values.map((value) => cellOf(value) as BufferCell);
  const port: ParameterPort<Variable> = {
    moves: false,
    describe(value, where) {
      const description = describeVariable(value, where, "webgpu");
      requireRoom(device, { offset: 0, bytes: 4 * (cellOf(value) as BufferCell).array.size }, where);
      return description;
    },
    // Empty arrays of jax-js share a buffer: each is given another one, with which nothing is done.
    resolve(value) {
      const { array, buffer } = cellOf(value) as BufferCell;
      const { size } = array;
      return {
        buffer: size > 0 ? buffer : engine.seed.buffer,
        offset: 0,
        length: size,
        dtype: "float32",
        padded: false,
      };
    },
    claim(parameters) {
      for (const { name, value } of parameters) liveCell(value, `${backend} optimizer: ${name}`);
    },
    written(values) {
      for (const cell of cellsOf(values)) cell.written();
    },
  };
  const engine = createEngine({ backend, device, port });
  const passes = new Passes(engine, device);
  return {
    ...engine.members(),
    differentiate: (loss, request) => passes.differentiate(loss, request),
    flush() {
      engine.flush();
      passes.release();
    },
    dispose() {
      passes.dispose();
      engine.dispose();
    },
  };
}

/** The backward passes of an optimizer. */
class Passes {
  readonly #engine: WebgpuEngine<Variable>;
  readonly #device: GPUDevice;
  /** The factor of a loss, as jax-js sees it: it takes no buffer of others, so the number is copied into one of its own. */
  #seed: np.Array | undefined;
  /** Gradients whose copies may not be submitted yet: until then their buffers are given to nobody else. */
  #held: np.Array[] = [];

  constructor(engine: WebgpuEngine<Variable>, device: GPUDevice) {
    this.#engine = engine;
    this.#device = device;
  }

  differentiate(loss: JaxLoss, request: Request): Gradients<np.Array, Variable, Vector, Vector, StepScalar> {
    const { parameters } = request;
    for (const { name, value } of parameters) liveCell(value, `${backend} optimizer: ${name}`);
    return copyGradients(
      this.#engine,
      request,
      (seed) => {
        // Held back work is submitted by now.
        this.release();
        const { value, gradients } = differentiate(loss, parameters, () => this.#seedOf(seed));
        const done = (copied: boolean): void => {
          this.#held.push(...gradients.map(([, gradient]) => gradient));
          // Submitted: work that gets these buffers now writes into them later.
          if (!copied || !request.stepFollows) this.release();
          if (!copied) value.dispose();
        };
        try {
          const sources = gradients.map(
            ([parameter, gradient]) => [parameter, { buffer: bufferOf(gradient) }] as const,
          );
          return { value: settledLoss(value, request, this.#device), gradients: sources, done };
        } catch (error) {
          done(false);
          throw error;
        }
      },
      { mayHold: true },
    );
  }

  dispose(): void {
    this.#engine.flush();
    this.release();
    this.#seed?.dispose();
  }

  #seedOf(seed: WebgpuBinding | undefined): np.Array {
    if (seed === undefined) return np.array(1, { dtype: np.float32, device: "webgpu" });
    this.#seed ??= copyOf(seed.buffer, [], this.#device);
    copyBuffer(this.#device, seed.buffer, bufferOf(this.#seed), 4);
    return this.#seed.ref;
  }

  /** Called when all that was held back is submitted. */
  release(): void {
    for (const gradient of this.#held) gradient.dispose();
    this.#held = [];
  }
}

/** The value of a loss as of now: what computes it is submitted before a step, and it is in a buffer that no step writes into. */
function settledLoss(
  value: np.Array,
  { parameters, returnLoss }: Request,
  device: GPUDevice,
): np.Array | undefined {
  if (!returnLoss) {
    value.dispose();
    return undefined;
  }
  const buffer = bufferOf(value);
  // A closure may return the parameter itself.
  if (!parameters.some((parameter) => (cellOf(parameter.value) as BufferCell).buffer === buffer))
    return value;
  value.dispose();
  return copyOf(buffer, [], device);
}
