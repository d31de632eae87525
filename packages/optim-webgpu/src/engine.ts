import type { Capabilities } from "@mm/optim-core";
import { type AdmittedParameter, type Engine, hostCapabilities, masterSlot } from "@mm/optim-core/backend";
import { Accumulation, type WebgpuStepParameter } from "./accumulate.ts";
import { Device } from "./device.ts";
import { ErrorSink } from "./error-sink.ts";
import { Latch } from "./latch.ts";
import { largestBinding } from "./limits.ts";
import { knownOperations, requireBindings, requireProducts } from "./program-limits.ts";
import { LossScaleValue, type StepScalar, WebgpuLossScaler } from "./loss-scaler.ts";
import { Masters } from "./masters.ts";
import { MatrixRooms } from "./matrix-rooms.ts";
import { readNorms } from "./norms.ts";
import type { ParameterPort } from "./port.ts";
import { DeviceState } from "./scalars.ts";
import { type DType, Planes, type Vector, type WebgpuBinding } from "./storage.ts";
import { readParameters, readVectors } from "./transfer.ts";
import { WebgpuStages } from "./update.ts";

/** An engine but for the differentiation of its losses, and for what is only known of a host library. */
export type EngineMembers<P> = Omit<
  Engine<never, unknown, P, Vector, Vector, StepScalar>,
  "differentiate" | "accumulate" | "isFrozen" | "context" | "named"
> & {
  /** Does nothing: gradients are added by the commands that `differentiate` has enqueued. */
  accumulate(): void;
};

export interface EngineOptions<P> {
  /** The name of the backend: `optimizer.backend`, and what errors begin with. */
  readonly backend: string;
  readonly device: GPUDevice;
  readonly port: ParameterPort<P>;
}

/**
 * All of an optimizer on a device but how losses are differentiated: vectors, stages, state, reads. Parameters are reached through a port, so
 * that they may be the caller's buffers or a host library's variables.
 */
export class EngineCore<P> {
  readonly device: Device;
  readonly errors: ErrorSink;
  readonly latch: Latch;
  readonly accumulation: Accumulation<P>;
  readonly port: ParameterPort<P>;
  readonly #planes: Planes;
  /** Slots per row and per column. */
  readonly #alongPlanes: Planes;
  /** Slots in bfloat16, at the places of the others. */
  readonly #packedPlanes: Planes;
  readonly #state: DeviceState;
  readonly #stages: WebgpuStages<P>;
  readonly #masters: Masters<P>;
  readonly #dtypes = new Map<string, DType>();
  readonly #known = new Map<string, WebgpuStepParameter<P>>();

  constructor({ backend, device: gpu, port }: EngineOptions<P>) {
    const device = (this.device = new Device(gpu, backend));
    device.requireLive();
    this.port = port;
    this.errors = new ErrorSink(device);
    this.#planes = new Planes(device);
    this.#alongPlanes = new Planes(device, "slots along axes");
    this.#packedPlanes = new Planes(device, "slots in bfloat16", "bfloat16");
    this.#state = new DeviceState(device);
    this.latch = new Latch(device, this.#state);
    this.accumulation = new Accumulation(device, this.#planes, ({ name }) => this.dtypeOf(name) as DType);
    this.#masters = new Masters(device, port, this.#planes, this.accumulation);
    const rooms = new MatrixRooms<P>(this.#planes);
    this.#stages = new WebgpuStages(device, port, this.#state, this.latch, this.errors, rooms.find);
  }

  /** scale × loss scale, as one float32: always this binding. */
  get seed(): WebgpuBinding {
    return this.latch.seed;
  }

  /** The names of all parameters. */
  get names(): readonly string[] {
    return [...this.#dtypes.keys()];
  }

  /** Of any parameter, by name. */
  dtypeOf(name: string): DType | undefined {
    return this.#dtypes.get(name);
  }

  /** Submits what was held back. */
  flush(): void {
    this.device.flush();
  }

  /** Frees all that was made on the device. An optimizer does it in its own `dispose()`. */
  dispose(): void {
    this.device.settle();
    this.#stages.dispose();
    this.accumulation.dispose();
    this.latch.destroy();
    this.#state.destroy();
    this.#planes.dispose();
    this.#alongPlanes.dispose();
    this.#packedPlanes.dispose();
  }

  /** The members of the engine that are the same for all. */
  members(): EngineMembers<P> {
    const { device, port, errors } = this;
    const { gpu, backend, who } = device;
    const capabilities: Capabilities = {
      ...hostCapabilities,
      decides: "device",
      maxParameterLength: largestBinding(gpu.limits) / 4,
      slotDtypes: ["float32", "bfloat16"],
    };
    return {
      backend,
      capabilities,
      operations: knownOperations,
      describe: (value, where) => port.describe(value, where),
      admit: (added, call) => this.#admit(added, call),
      prepareProgram: (program, masters) => requireBindings(gpu, who, program, masters),
      reserve: (program, extents) => requireProducts(gpu, who, program, extents),
      allocate: (parameter, initial, length = parameter.length, packed = false) => {
        this.#known.set(parameter.name, parameter);
        if (packed) return this.#packedPlanes.allocate(parameter.name, initial, length);
        if (length === parameter.length) return this.#planes.allocate(parameter.name, initial);
        return this.#alongPlanes.allocate(parameter.name, initial, length);
      },
      allocateCopy: (parameter) => {
        this.#known.set(parameter.name, parameter);
        return errors.watch("step", () => this.#copyOf(parameter));
      },
      release: (vector) => this.#planes.release(vector),
      write: (vector, data) => this.#write(vector, data),
      read: (vectors) => readVectors(device, vectors),
      readNorms: (vectors) => readNorms(device, vectors),
      readParameters: (parameters) => readParameters(device, port, parameters),
      writeParameter: (parameter, data) =>
        errors.watch("writeParameters", () => this.#writeParameter(parameter, data)),
      scalar: (value) => value,
      readScalars: (scalars) => this.#readScalars(scalars),
      accumulate() {},
      stages: this.#stages,
      createLossScaler: (settings) => new WebgpuLossScaler(device, settings),
      flush: () => this.flush(),
      dispose: () => this.dispose(),
    };
  }

  /** Makes places for parameters that core and the port have accepted. */
  #admit(added: readonly AdmittedParameter<P>[], call: string): void {
    this.port.admit?.(added, call);
    const vectors = added.map(({ name, length, master }) => {
      return { name, length, dtype: master === true ? ("float16" as const) : ("float32" as const) };
    });
    for (const { name, dtype } of vectors) this.#dtypes.set(name, dtype);
    this.#planes.reserve(vectors);
    // Which takes nothing until there is one.
    this.#packedPlanes.reserve(vectors);
    this.#alongPlanes.reserve(
      added
        .filter(({ group }) => [...group.everySlot.axes.values()].some((axes) => axes !== 3))
        .map(({ name, view }) => ({ name, length: Math.max(view.rows, view.cols), dtype: "float32" })),
    );
    this.#state.reserve(
      added.map(({ name, group }) => ({ name, scalarSlots: [...group.everySlot.scalarSlots] })),
    );
    this.latch.rebind();
    this.#stages.rebind();
  }

  #copyOf(parameter: WebgpuStepParameter<P>): Vector {
    const { name, value, length, master, slots } = parameter;
    const float32 = slots.get(masterSlot);
    if (master === true && float32 === undefined) return this.#masters.create(parameter);
    this.port.claim?.([parameter]);
    const source = float32?.binding ?? this.port.resolve(value);
    const vector = this.#planes.allocate(name, 0);
    const { buffer, offset } = vector.binding;
    this.port.flush?.();
    const encoder = this.device.createEncoder("copy");
    if (length > 0) encoder.copyBufferToBuffer(source.buffer, source.offset, buffer, offset, 4 * length);
    this.device.submit([encoder.finish()]);
    return vector;
  }

  #write(vector: Vector, data: Float32Array): void {
    this.#planes.write(vector, data);
    const parameter = this.#known.get(vector.name);
    if (parameter?.slots.get(masterSlot) === vector) this.#masters.store(parameter, vector);
  }

  #writeParameter(parameter: WebgpuStepParameter<P>, data: Float32Array): void {
    const { value, length, master, slots } = parameter;
    if (length === 0) return;
    this.port.claim?.([parameter]);
    if (master === true) {
      const vector = slots.get(masterSlot) ?? this.#masters.create(parameter);
      slots.set(masterSlot, vector);
      this.#planes.write(vector, data);
      this.#masters.store(parameter, vector);
    } else {
      const { buffer, offset } = this.port.resolve(value);
      this.port.flush?.();
      this.device.write(buffer, offset, data);
    }
    this.port.written?.([value]);
  }

  async #readScalars(scalars: readonly StepScalar[]): Promise<readonly number[]> {
    const places = scalars.map((scalar) => (scalar instanceof LossScaleValue ? this.latch.latched : scalar));
    if (places.every((place) => typeof place === "number")) return places;
    const read = await this.#state.read();
    return places.map((place) => (typeof place === "number" ? place : read(place)));
  }
}
