import { extentsOf, memo, type Program } from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import {
  along,
  alongAt,
  checkKernel,
  evaluationsOf,
  hasScratch,
  header,
  isShaped,
  type KernelSource,
  type NormKind,
  partialWords,
  prepareKernel,
  prepareNormsKernel,
  record,
  staticWords,
  workgroupSize,
  writeCode,
  writeStatics,
} from "./kernel/index.ts";
import { largestBinding } from "./limits.ts";
import type { ParameterPort } from "./port.ts";
import type { DeviceState } from "./scalars.ts";
import { Products } from "./products.ts";
import { type BatchDispatch, type BatchPass, batchPasses } from "./batch-passes.ts";
import { Totals } from "./totals.ts";
import { layOutStep, shapeFor, type StepLayout } from "./step-layout.ts";
import { type FindRoom, type MatrixRoom, type Member, slotsOf, type WebgpuStepItem } from "./step-members.ts";
import type { Vector } from "./storage.ts";
import { dispatch, Table } from "./table.ts";
import type { TileRun } from "./table-layout.ts";

interface Batch<P> {
  readonly first: Member<P>;
  readonly indices: readonly number[];
  readonly tiles: number;
  /** By stage. */
  readonly before: readonly (BatchPass | undefined)[];
  readonly update: BatchPass;
  readonly range: GPUBufferBinding;
  /** By the buffer of the parameter. */
  readonly groups: WeakMap<GPUBuffer, Map<BatchDispatch, GPUBindGroup>>;
}

interface Check {
  readonly buffer: GPUBuffer;
  readonly groups: number;
  readonly range: GPUBufferBinding;
}

/** The purpose of one record of the table. */
export interface PlannedRecord<P> {
  readonly index: number;
  readonly parameter: WebgpuStepParameter<P>;
  readonly program: Program;
  /** Words of the table: of the record, and of the code and the statics by which the device computes its uniforms. */
  readonly at: number;
  readonly code: number;
  readonly statics: number;
  /** The part of the parameter's shape that the scalars depend on: see `shapeFor`. */
  readonly shape: string;
  item: WebgpuStepItem<P> | undefined;
  active: boolean;
}

/**
 * The dispatches of a step, for any of some parameters with their programs: which share one, in which order, what they bind. Made when the
 * set of parameters or a structure changes, and kept.
 */
export class StepPlan<P> {
  readonly table: Table;
  readonly records: readonly PlannedRecord<P>[];
  readonly #device: Device;
  readonly #port: ParameterPort<P>;
  readonly #state: DeviceState;
  readonly #layout: StepLayout<P>;
  readonly #byParameter: ReadonlyMap<WebgpuStepParameter<P>, PlannedRecord<P>>;
  readonly #batches: readonly Batch<P>[];
  /** How many come before the update. */
  readonly #stages: number;
  readonly #checks: readonly Check[];
  readonly #partials: GPUBuffer;
  readonly #normPartials: GPUBuffer | undefined;
  /** The results of reductions per row and column. */
  readonly #scratch: GPUBuffer | undefined;
  readonly #totals: Totals | undefined;
  readonly #products: Products | undefined;
  /** Of evaluations after passes, by their number less 1. */
  readonly #evaluationRanges: readonly GPUBufferBinding[];
  /** Of a group and program, what the statics at this word were computed from. */
  readonly #versions = new Map<number, number>();
  readonly #kernels = new Map<string, Kernel>();
  readonly #checkGroups = new Map<Check, GPUBindGroup>();
  readonly #prepareGroups = new WeakMap<GPUBuffer, GPUBindGroup>();
  readonly #evaluationGroups: GPUBindGroup[] = [];

  constructor(
    device: Device,
    port: ParameterPort<P>,
    state: DeviceState,
    items: readonly WebgpuStepItem<P>[],
    roomFor: FindRoom<P>,
  ) {
    this.#device = device;
    this.#port = port;
    this.#state = state;
    const layout = (this.#layout = layOutStep(port, items, largestBinding(device.gpu.limits), roomFor));
    const { members, updates, checks, codes, statics, reductions, evaluations, products } = layout;
    const table = (this.table = new Table(device, "step", layout.table));
    this.records = members.map(({ parameter, program }, index) => ({
      index,
      parameter,
      program,
      at: table.recordAt(index),
      code: codes.get(program) as number,
      statics: statics[index] as number,
      shape: shapeFor(program, parameter),
      item: undefined,
      active: false,
    }));
    this.#byParameter = new Map(this.records.map((planned) => [planned.parameter, planned]));

    const ranges = table.bindRuns("step", [
      ...[...updates, ...checks].map(({ run }) => run),
      ...Array.from({ length: evaluations }, (_, stage) => ({ first: 0, count: 0, number: stage + 1 })),
    ]);
    this.#evaluationRanges = ranges.slice(updates.length + checks.length);
    this.#checks = checks.map(({ buffer, groups }, index) => {
      return { buffer, groups, range: ranges[updates.length + index] as GPUBufferBinding };
    });
    this.#partials = device.createBuffer("partials", 4 * partialWords * layout.partialCount);
    if (evaluations > 0) {
      table.setWord(header.normStride, reductions);
      const size = 4 * partialWords * reductions * layout.table.tileCount;
      this.#normPartials = device.createBuffer("norm partials", size);
    }
    if (layout.scratch > 0) this.#scratch = device.createBuffer("scratch", 4 * layout.scratch);
    if (layout.totals.length > 0) this.#totals = new Totals(device, table, layout.totals, members);
    if (products.length > 0) this.#products = new Products(device, table, products);
    this.#batches = updates.map(({ indices, run }, index) => {
      const first = members[indices[0] as number] as Member<P>;
      const { program, access } = first;
      return {
        first,
        indices,
        tiles: run.count,
        ...batchPasses(device, program, access, layout.stages.get(program) as readonly number[]),
        range: ranges[index] as GPUBufferBinding,
        groups: new WeakMap(),
      };
    });
    this.#stages = Math.max(0, ...this.#batches.map(({ before }) => before.length));
    const groupOf = new Map(members.map(({ program, parameter }) => [program, parameter.group]));
    for (const [program, at] of codes) {
      const scalarSlots = groupOf.get(program)?.everySlot.scalarSlots ?? [];
      writeCode(program, [...scalarSlots], table.words, at, {
        evaluations: evaluationsOf(program, layout.stages.get(program)),
        totals: layout.places.get(program),
      });
    }
    for (const [index, planned] of this.records.entries()) {
      const { first, count } = layout.table.runs[index] as TileRun;
      table.setWord(planned.at + record.statics, planned.statics);
      table.setWord(planned.at + record.state, state.blockOf(planned.parameter.name));
      table.setWord(planned.at + record.firstTile, first);
      table.setWord(planned.at + record.tileCount, count);
      this.#describeShape(planned, layout);
    }
  }

  /** Whether scalars wait for what passes find. */
  get evaluates(): boolean {
    return this.#layout.evaluations > 0;
  }

  /** Whether it holds all of these as they are now. */
  fits(items: readonly WebgpuStepItem<P>[]): boolean {
    return items.every((item) => {
      const planned = this.#byParameter.get(item.parameter);
      if (planned === undefined || planned.program !== item.program) return false;
      if (planned.item === item) return true;
      const member = this.#layout.members[planned.index] as Member<P>;
      const slots = slotsOf(item);
      const fits =
        member.accumulator === item.parameter.accumulator &&
        slots.length === member.slots.length &&
        slots.every((slot, index) => slot === member.slots[index]);
      if (fits) planned.item = item;
      return fits;
    });
  }

  /** `items`, plus the members of this plan that are not among them. */
  with(items: readonly WebgpuStepItem<P>[]): readonly WebgpuStepItem<P>[] {
    const added = new Set(items.map(({ parameter }) => parameter));
    const kept = this.#layout.members
      .filter(({ parameter }) => !added.has(parameter))
      .map(({ parameter, program, slots }) => ({
        parameter,
        program,
        slots: slots.slice(0, program.slots.length),
      }));
    return [...kept, ...items];
  }

  /** Marks which of its parameters take part in the step. */
  activate(items: readonly WebgpuStepItem<P>[]): void {
    const taking =
      items.length === this.records.length ? undefined : new Set(items.map(({ parameter }) => parameter));
    for (const planned of this.records) {
      planned.active = taking?.has(planned.parameter) ?? true;
      this.table.setWord(planned.at + record.active, Number(planned.active));
    }
  }

  /** Has `prepare` compute the uniforms: what it needs of the host. */
  leaveToDevice(): void {
    for (const { at, code, statics, program, parameter } of this.records) {
      this.table.setWord(at + record.code, code);
      const { group } = parameter;
      if (this.#versions.get(statics) === group.version) continue;
      this.#versions.set(statics, group.version);
      writeStatics(program, group.values, this.table.floats, statics, extentsOf(parameter.view));
      this.table.changed(statics, staticWords(program));
    }
  }

  /** Partials that a check will write. */
  get partialCount(): number {
    return this.#layout.partialCount;
  }

  recordCheck(pass: GPUComputePassEncoder, norm: NormKind, ignoreNonFinite: boolean): void {
    const kernel = this.#kernel(`check ${norm} ${ignoreNonFinite}`, () => checkKernel(norm, ignoreNonFinite));
    pass.setPipeline(kernel.pipeline);
    for (const check of this.#checks) {
      if (check.groups === 0) continue;
      const group = memo(this.#checkGroups, check, () =>
        this.#device.bind(kernel, [
          { buffer: check.buffer },
          { buffer: this.table.buffer },
          check.range,
          { buffer: this.#partials },
        ]),
      );
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(check.groups);
    }
  }

  /** @param onDevice whether it computes uniforms @param scaler of 2 states, or anything @param seed likewise */
  recordPrepare(
    pass: GPUComputePassEncoder,
    onDevice: boolean,
    scaler: GPUBuffer,
    seed: GPUBufferBinding,
  ): void {
    const { buffer } = this.#state;
    const kernel = this.#kernel(`prepare ${onDevice}`, () =>
      prepareKernel(onDevice ? this.#layout.registers : 0),
    );
    const group = memo(this.#prepareGroups, scaler, () =>
      this.#device.bind(kernel, [
        { buffer: this.table.buffer },
        { buffer },
        { buffer: this.#partials },
        { buffer: scaler },
        seed,
      ]),
    );
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group);
    dispatch(pass, Math.ceil(this.records.length / workgroupSize));
  }

  /** The passes before the update, those that are as early as each other together, and what follows from them for the scalars. */
  recordPasses(pass: GPUComputePassEncoder): void {
    for (let stage = 0; stage < this.#stages; stage += 1) {
      let measures = false;
      for (const batch of this.#batches) {
        this.#recordPass(pass, batch, batch.before[stage]);
        measures ||= batch.before[stage]?.measures === true && this.#areActive(batch.indices);
      }
      this.#products?.record(pass, stage, (indices) => this.#areActive(indices));
      this.#totals?.record(pass, stage);
      if (measures) this.#recordEvaluation(pass, stage);
    }
  }

  recordUpdate(pass: GPUComputePassEncoder): void {
    for (const batch of this.#batches) this.#recordPass(pass, batch, batch.update);
  }

  destroy(): void {
    this.table.destroy();
    this.#partials.destroy();
    this.#normPartials?.destroy();
    this.#scratch?.destroy();
    this.#products?.destroy();
    this.#totals?.destroy();
  }

  /** Found without printing it anew. */
  #kernel(key: string, print: () => KernelSource): Kernel {
    return memo(this.#kernels, key, () => this.#device.kernel(print()));
  }

  /** Writes what kernels ask of the shape of a parameter and its slots per row and column. */
  #describeShape({ index, at, program, parameter: { view } }: PlannedRecord<P>, layout: StepLayout<P>): void {
    if (!isShaped(program)) return;
    const words = at + alongAt(program);
    this.table.setWord(words + along.rows, view.rows);
    this.table.setWord(words + along.cols, view.cols);
    this.table.setWord(words + along.scratch, layout.scratchStarts[index] as number);
    const { slots } = layout.members[index] as Member<P>;
    for (const slot of program.slots.keys())
      this.table.setWord(words + along.slots + slot, (slots[slot] as Vector).place.start);
  }

  #areActive(indices: readonly number[]): boolean {
    return indices.some((index) => this.records[index]?.active);
  }

  #recordPass(pass: GPUComputePassEncoder, batch: Batch<P>, one: BatchPass | undefined): void {
    const { tiles, indices } = batch;
    if (one === undefined || tiles === 0 || !this.#areActive(indices)) return;
    for (const each of one.dispatches) {
      pass.setPipeline(each.kernel.pipeline);
      pass.setBindGroup(0, this.#groupOf(batch, each));
      dispatch(pass, tiles);
    }
  }

  /** The scalars, now that this stage is over. */
  #recordEvaluation(pass: GPUComputePassEncoder, stage: number): void {
    const { registers, reductions, sums } = this.#layout;
    const kernel = this.#kernel("norms", () => prepareNormsKernel(registers, Math.max(1, reductions), sums));
    this.#evaluationGroups[stage] ??= this.#device.bind(kernel, [
      { buffer: this.table.buffer },
      { buffer: this.#state.buffer },
      { buffer: this.#normPartials as GPUBuffer },
      this.#evaluationRanges[stage] as GPUBufferBinding,
    ]);
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, this.#evaluationGroups[stage]);
    dispatch(pass, this.records.length);
  }

  #groupOf({ first, range, groups }: Batch<P>, one: BatchDispatch): GPUBindGroup {
    const { parameter, window, accumulator, slots, matrices, program } = first;
    const { kernel, elements, read, made, partials } = one;
    const { buffer } = this.#port.moves ? this.#port.resolve(parameter.value) : first.range;
    const known = memo(groups, buffer, () => new Map<BatchDispatch, GPUBindGroup>());
    return memo(known, one, () => {
      const ofElements: GPUBufferBinding[] = [
        { buffer, ...window },
        { buffer: accumulator.buffer },
        ...slots.map((slot) => ({ buffer: slot.buffer })),
        ...read.map((matrix) => ({ buffer: (matrices[matrix] as MatrixRoom)[0].buffer })),
        ...(made === undefined ? [] : [{ buffer: (matrices[made.matrix] as MatrixRoom)[made.place].buffer }]),
      ];
      return this.#device.bind(kernel, [
        ...(elements ? ofElements : []),
        ...(hasScratch(program) ? [{ buffer: this.#scratch as GPUBuffer }] : []),
        { buffer: this.table.buffer },
        range,
        ...(partials ? [{ buffer: this.#normPartials as GPUBuffer }] : []),
      ]);
    });
  }
}
