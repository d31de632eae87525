import type { Parameter } from "@mm/optim-core/backend";
import { batched } from "./batches.ts";
import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import { accumulateKernel, record } from "./kernel/index.ts";
import type { StepScalar } from "./loss-scaler.ts";
import { type DType, Plane, type Planes, type Vector } from "./storage.ts";
import { dispatch, Table } from "./table.ts";
import { joined, layOutTable, type TileRun } from "./table-layout.ts";

export type WebgpuStepParameter<P> = Parameter<P, Vector, StepScalar>;

/** The effect of `accumulate` on an incoming gradient. */
const addition = { nothing: 0, add: 1, overwrite: 2 } as const;

/** A gradient that is added to its accumulator. */
interface Addition<P> {
  readonly parameter: WebgpuStepParameter<P>;
  readonly incoming: Vector;
}

/**
 * Where the gradients of backward passes go. As long as nothing is pending, the accumulator itself takes them: should the closure throw,
 * nothing is pending still, since what was recorded is not submitted. Otherwise, and in float16, they have ranges of their own, and one
 * dispatch adds all of them.
 */
export class Accumulation<P> {
  readonly planes: Planes;
  readonly dtypeOf: (parameter: WebgpuStepParameter<P>) => DType;
  readonly #device: Device;
  readonly #incoming: { readonly [D in DType]: Plane };
  readonly #vectors: { readonly [D in DType]: Map<string, Vector> } = {
    float32: new Map(),
    float16: new Map(),
  };
  #plan: AdditionPlan<P> | undefined;

  constructor(device: Device, planes: Planes, dtypeOf: (parameter: WebgpuStepParameter<P>) => DType) {
    this.planes = planes;
    this.dtypeOf = dtypeOf;
    this.#device = device;
    this.#incoming = {
      float32: new Plane("gradients", planes),
      float16: new Plane("float16 gradients", planes, "float16"),
    };
  }

  begin(): Intake<P> {
    return new Intake(this);
  }

  /** The gradient's own range, made at first. */
  incoming(name: string, dtype: DType): { readonly vector: Vector; readonly isNew: boolean } {
    const known = this.#vectors[dtype].get(name);
    const vector = known ?? this.#incoming[dtype].take(name);
    this.#vectors[dtype].set(name, vector);
    return { vector, isNew: known === undefined };
  }

  /** Frees the range of a gradient that did not come. */
  forget(vector: Vector): void {
    this.#vectors[vector.plane.dtype as DType].delete(vector.name);
    vector.plane.release(vector);
  }

  /** Records the dispatches that add. */
  record(additions: readonly Addition<P>[], encoder: GPUCommandEncoder): void {
    if (this.#plan?.fits(additions) !== true) {
      const all = this.#plan?.with(additions) ?? additions;
      this.#plan?.destroy();
      this.#plan = new AdditionPlan(this.#device, all);
    }
    this.#plan.record(additions, encoder);
  }

  dispose(): void {
    this.#plan?.destroy();
    for (const plane of Object.values(this.#incoming)) plane.dispose();
  }
}

/** The gradients of one backward. */
export class Intake<P> {
  readonly #owner: Accumulation<P>;
  readonly #taken = new Map<WebgpuStepParameter<P>, Vector>();
  /** Undoes what was made for it. */
  readonly #undo: (() => void)[] = [];
  readonly #cleared: Vector[] = [];
  readonly #additions: Addition<P>[] = [];

  constructor(owner: Accumulation<P>) {
    this.#owner = owner;
  }

  /** Where the gradient of a parameter goes; `clear`: it is to begin as zeros. Once for each. */
  take(parameter: WebgpuStepParameter<P>, clear: boolean): Vector {
    const { planes, dtypeOf } = this.#owner;
    const dtype = dtypeOf(parameter);
    let { accumulator } = parameter;
    if (accumulator === undefined) {
      const made = (accumulator = planes.allocate(parameter.name, 0));
      this.#undo.push(() => planes.release(made));
    }
    this.#taken.set(parameter, accumulator);
    if (dtype === "float32" && !parameter.pending) {
      accumulator.plane.soil(accumulator);
      if (clear) this.#cleared.push(accumulator);
      return accumulator;
    }
    const incoming = this.drop(parameter.name, dtype, clear);
    this.#additions.push({ parameter, incoming });
    return incoming;
  }

  /** Where a gradient goes that nobody wants. */
  drop(name: string, dtype: DType, clear: boolean): Vector {
    const { vector, isNew } = this.#owner.incoming(name, dtype);
    if (isNew) this.#undo.push(() => this.#owner.forget(vector));
    if (clear) this.#cleared.push(vector);
    return vector;
  }

  /** Zeroes what was to begin as zeros. Neighbours are cleared as one. */
  recordClears(encoder: GPUCommandEncoder): void {
    const byStart = [...this.#cleared].sort((a, b) => a.binding.offset - b.binding.offset);
    for (const vectors of batched(byStart, ({ buffer }) => [buffer])) {
      let [start, end] = [0, 0];
      const clear = (): void => {
        if (end > start) encoder.clearBuffer((vectors[0] as Vector).buffer, start, end - start);
      };
      for (const { binding, room } of vectors) {
        if (binding.offset !== end) {
          clear();
          start = binding.offset;
        }
        end = binding.offset + room;
      }
      clear();
    }
  }

  get clears(): boolean {
    return this.#cleared.length > 0;
  }

  get adds(): boolean {
    return this.#additions.length > 0;
  }

  /** Adds what came in beside the accumulators. Before it, the accumulators have to be the parameters'. */
  recordAdditions(encoder: GPUCommandEncoder): void {
    this.#owner.record(this.#additions, encoder);
  }

  /** Gives each parameter its accumulator, and tells which those are. */
  commit(): readonly WebgpuStepParameter<P>[] {
    for (const [parameter, accumulator] of this.#taken) parameter.accumulator = accumulator;
    return [...this.#taken.keys()];
  }

  discard(): void {
    for (const undo of this.#undo) undo();
  }
}

interface Batch<P> {
  readonly kernel: Kernel;
  readonly parameters: readonly WebgpuStepParameter<P>[];
  readonly tiles: number;
  readonly group: GPUBindGroup;
}

/** The dispatches that add incoming gradients, of any of some parameters. */
export class AdditionPlan<P> {
  readonly #table: Table;
  readonly #members: readonly (Addition<P> & { readonly accumulator: Vector })[];
  readonly #indices: ReadonlyMap<WebgpuStepParameter<P>, number>;
  readonly #batches: readonly Batch<P>[];

  constructor(device: Device, additions: readonly Addition<P>[]) {
    const members = additions.map((addition) => ({
      ...addition,
      accumulator: addition.parameter.accumulator as Vector,
    }));
    const lists = batched(members, ({ incoming, accumulator }) => [accumulator.buffer, incoming.buffer]);
    this.#members = lists.flat();
    this.#indices = new Map(this.#members.map(({ parameter }, index) => [parameter, index]));
    const tiles = this.#members.map(({ accumulator: { place } }) => ({
      planeStart: place.start,
      paramStart: 0,
      length: place.length,
    }));
    this.#table = new Table(device, "accumulate", layOutTable(0, record.uniforms, tiles));
    const runs = lists.map((list) =>
      joined(
        list.map(
          ({ parameter }) => this.#table.layout.runs[this.#indices.get(parameter) as number] as TileRun,
        ),
      ),
    );
    const ranges = this.#table.bindRuns("accumulate", runs);
    this.#batches = lists.map((list, index) => {
      const { incoming, accumulator } = list[0] as (typeof members)[number];
      const kernel = device.kernel(accumulateKernel(incoming.plane.dtype === "float16" ? "packed" : "f32"));
      const group = device.bind(kernel, [
        { buffer: accumulator.buffer },
        { buffer: incoming.buffer },
        { buffer: this.#table.buffer },
        ranges[index] as GPUBufferBinding,
      ]);
      const { count } = runs[index] as TileRun;
      return { kernel, parameters: list.map(({ parameter }) => parameter), tiles: count, group };
    });
  }

  fits(additions: readonly Addition<P>[]): boolean {
    return additions.every(({ parameter, incoming }) => {
      const member = this.#members[this.#indices.get(parameter) ?? -1];
      return member?.incoming === incoming && member.accumulator === parameter.accumulator;
    });
  }

  /** Those of this plan, with others that may be newer. */
  with(additions: readonly Addition<P>[]): readonly Addition<P>[] {
    const added = new Set(additions.map(({ parameter }) => parameter));
    return [...this.#members.filter(({ parameter }) => !added.has(parameter)), ...additions];
  }

  record(additions: readonly Addition<P>[], encoder: GPUCommandEncoder): void {
    const added = new Set(additions.map(({ parameter }) => parameter));
    for (const [index, { parameter }] of this.#members.entries()) {
      const what = parameter.pending ? addition.add : addition.overwrite;
      const word = this.#table.recordAt(index) + record.adds;
      this.#table.setWord(word, added.has(parameter) ? what : addition.nothing);
    }
    this.#table.upload();
    const pass = encoder.beginComputePass({ label: "optim accumulate" });
    for (const { kernel, parameters, tiles, group } of this.#batches) {
      if (tiles === 0 || !parameters.some((parameter) => added.has(parameter))) continue;
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, group);
      dispatch(pass, tiles);
    }
    pass.end();
  }

  destroy(): void {
    this.#table.destroy();
  }
}
