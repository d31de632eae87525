import { type Capabilities, OptimError } from "@mm/optim-core";
import {
  allSlots,
  type Engine,
  hostCapabilities,
  hyperparameterEntries,
  masterSlot,
  type NamedParameter,
  type Program,
  structureOf,
} from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import { Accumulation, type WebgpuStepParameter } from "./accumulate.ts";
import { type ByteRange, type Device, deviceOf } from "./device.ts";
import { ErrorSink } from "./error-sink.ts";
import { Latch } from "./latch.ts";
import { LossScaleValue, type StepScalar, WebgpuLossScaler } from "./loss-scaler.ts";
import { halfBytes, halfToNumber, Masters } from "./masters.ts";
import type { ParameterPort } from "./parameters.ts";
import { DeviceState } from "./scalars.ts";
import { type DType, largestBinding, Planes, type Vector } from "./storage.ts";
import { WebgpuStages } from "./update.ts";

/** What a whole engine has beside the differentiation of its losses. */
type EngineMembers<P> = Omit<
  Engine<never, unknown, P, Vector, Vector, StepScalar>,
  "differentiate" | "accumulate" | "isFrozen" | "context"
>;

/** Storage bindings of the update kernel beside the slots: parameter, gradient, table. */
const otherBindings = 3;

/**
 * All of an optimizer on a device but how losses are differentiated: vectors, stages, state, reads. Parameters are reached through a port, so
 * that they may be the caller's buffers or a host library's variables.
 */
export class EngineCore<P> {
  readonly device: Device;
  readonly errors: ErrorSink;
  readonly latch: Latch;
  readonly accumulation: Accumulation<P>;
  readonly #backend: string;
  readonly #port: ParameterPort<P>;
  readonly #planes: Planes;
  readonly #state: DeviceState;
  readonly #stages: WebgpuStages<P>;
  readonly #masters: Masters<P>;
  readonly #dtypes = new Map<string, DType>();
  readonly #known = new Map<string, WebgpuStepParameter<P>>();

  constructor(
    gpu: GPUDevice,
    backend: string,
    port: ParameterPort<P>,
    { definition, hyperparameters }: UpdateRule,
  ) {
    const device = (this.device = deviceOf(gpu));
    device.requireLive();
    const structure = structureOf(definition, hyperparameterEntries(hyperparameters));
    this.#backend = backend;
    this.#port = port;
    this.errors = new ErrorSink(device);
    this.#planes = new Planes(device);
    this.#state = new DeviceState(device, [...allSlots(definition, structure).scalarSlots]);
    this.latch = new Latch(device, this.#state);
    this.accumulation = new Accumulation(device, this.#planes, ({ name }) => this.dtypeOf(name) as DType);
    this.#masters = new Masters(device, port, this.#planes, this.accumulation);
    this.#stages = new WebgpuStages(device, port, this.#state, this.latch, this.errors);
  }

  /** Makes places for parameters that core has accepted. */
  admit(added: readonly NamedParameter<P>[]): void {
    const vectors = added.map(({ name, length, master }) => {
      return { name, length, dtype: master === true ? ("float16" as const) : ("float32" as const) };
    });
    for (const { name, dtype } of vectors) this.#dtypes.set(name, dtype);
    this.#planes.reserve(vectors);
    this.#state.reserve(vectors.map(({ name }) => name));
    this.latch.rebind();
    this.#stages.rebind();
  }

  /** Of any parameter, by name. */
  dtypeOf(name: string): DType | undefined {
    return this.#dtypes.get(name);
  }

  dispose(): void {
    this.device.settle();
    this.#stages.dispose();
    this.accumulation.dispose();
    this.latch.destroy();
    this.#state.destroy();
    this.#planes.dispose();
  }

  /** The members of the engine that are the same for all. */
  members(): EngineMembers<P> {
    const { device } = this;
    const capabilities: Capabilities = {
      ...hostCapabilities,
      decides: "device",
      maxParameterLength: largestBinding(device.gpu.limits) / 4,
    };
    return {
      backend: this.#backend,
      capabilities,
      describe: (value, where) => this.#port.describe(value, where),
      admit: (added) => this.admit(added),
      prepareProgram: (program, masters) => this.#requireBindings(program, masters),
      allocate: (parameter, initial) => {
        this.#known.set(parameter.name, parameter);
        return this.#planes.allocate(parameter.name, initial);
      },
      allocateMaster: (parameter) => {
        this.#known.set(parameter.name, parameter);
        return this.errors.watch("step", () => this.#masters.create(parameter));
      },
      release: (vector) => this.#planes.release(vector),
      write: (vector, data) => this.#write(vector, data),
      read: (vectors) => this.#read(vectors),
      readParameters: (parameters) => this.#readParameters(parameters),
      writeParameter: (parameter, data) =>
        this.errors.watch("writeParameters", () => this.#writeParameter(parameter, data)),
      scalar: (value) => value,
      readScalars: (scalars) => this.#readScalars(scalars),
      stages: this.#stages,
      createLossScaler: (settings) => new WebgpuLossScaler(device, this.#backend, settings),
      flush: () => device.flush(),
      dispose: () => this.dispose(),
    };
  }

  #requireBindings({ label, slots, norms }: Program, masters: boolean): void {
    const { maxStorageBuffersPerShaderStage } = this.device.gpu.limits;
    const others = otherBindings + Number(masters) + Number(norms.length > 0);
    if (others + slots.length <= maxStorageBuffersPerShaderStage) return;
    throw new OptimError("unsupported", `@mm/optim-webgpu: ${label}`, {
      expected:
        `at most ${maxStorageBuffersPerShaderStage - others} slots, since this device binds ` +
        `${maxStorageBuffersPerShaderStage} storage buffers at once (maxStorageBuffersPerShaderStage)`,
      received: slots.length,
      hint: "Adapters offer more: give requestDevice() requiredLimits",
    });
  }

  #write(vector: Vector, data: Float32Array): void {
    this.#planes.write(vector, data);
    const parameter = this.#known.get(vector.name);
    if (parameter?.slots.get(masterSlot) === vector) this.#masters.store(parameter, vector);
  }

  async #read(vectors: readonly Vector[]): Promise<Float32Array[]> {
    const bytes = await this.device.read(vectors.map(rangeOfVector));
    return views(
      bytes,
      vectors.map(({ place }) => place.length),
    );
  }

  async #readParameters(parameters: readonly WebgpuStepParameter<P>[]): Promise<Float32Array[]> {
    this.#port.flush?.();
    const found = parameters.map(({ slots, value }) => {
      const master = slots.get(masterSlot);
      const range = this.#port.resolve(value);
      const { buffer, offset, length, dtype } = range;
      if (master !== undefined) return { length, halves: false, range: rangeOfVector(master) };
      const halves = dtype === "float16";
      return { length, halves, range: { buffer, offset, size: halves ? halfBytes(range) : 4 * length } };
    });
    const bytes = await this.device.readNow(found.map(({ range }) => range));
    if (!found.some(({ halves }) => halves))
      return views(
        bytes,
        found.map(({ length }) => length),
      );
    const tensors = views(
      new ArrayBuffer(found.reduce((sum, { length }) => sum + 4 * length, 0)),
      found.map(({ length }) => length),
    );
    let start = 0;
    for (const [index, { length, halves, range }] of found.entries()) {
      const tensor = tensors[index] as Float32Array;
      if (halves) tensor.set(Array.from(new Uint16Array(bytes, start, length), halfToNumber));
      else tensor.set(new Float32Array(bytes, start, length));
      start += range.size;
    }
    return tensors;
  }

  #writeParameter(parameter: WebgpuStepParameter<P>, data: Float32Array): void {
    const { value, length, master, slots } = parameter;
    if (length === 0) return;
    if (master === true) {
      const vector = slots.get(masterSlot) ?? this.#masters.create(parameter);
      slots.set(masterSlot, vector);
      this.#planes.write(vector, data);
      this.#masters.store(parameter, vector);
    } else {
      const { buffer, offset } = this.#port.resolve(value);
      this.#port.flush?.();
      this.device.write(buffer, offset, data);
    }
    this.#port.written?.([value]);
  }

  async #readScalars(scalars: readonly StepScalar[]): Promise<readonly number[]> {
    const places = scalars.map((scalar) => (scalar instanceof LossScaleValue ? this.latch.latched : scalar));
    if (places.every((place) => typeof place === "number")) return places;
    const read = await this.#state.read();
    return places.map((place) => (typeof place === "number" ? place : read(place)));
  }
}

function rangeOfVector({ buffer, binding, place }: Vector): ByteRange {
  return { buffer, offset: binding.offset, size: 4 * place.length };
}

/** Float32Arrays one after the other in a buffer. */
function views(bytes: ArrayBuffer, lengths: readonly number[]): Float32Array[] {
  let start = 0;
  return lengths.map((length) => {
    const view = new Float32Array(bytes, start, length);
    start += 4 * length;
    return view;
  });
}
