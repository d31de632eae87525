import type { HyperparameterGroup, Program, StepItem } from "@mm/optim-core/backend";
import { masterSlot, memo } from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import { batched } from "./batches.ts";
import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import {
  checkKernel,
  checkWorkgroups,
  codeWords,
  header,
  type KernelSource,
  headerWords,
  type NormKind,
  normsKernel,
  type ParameterAccess,
  partialsPerWorkgroup,
  partialWords,
  prepareKernel,
  prepareNormsKernel,
  record,
  recordWords,
  registersOf,
  staticWords,
  updateKernel,
  workgroupSize,
  writeCode,
  writeStatics,
} from "./kernel/index.ts";
import { largestBinding } from "./limits.ts";
import type { StepScalar } from "./loss-scaler.ts";
import type { ParameterPort, ParameterRange } from "./port.ts";
import type { DeviceState } from "./scalars.ts";
import { bytesPerElement, type Vector } from "./storage.ts";
import { dispatch, joined, Table, type TileRun } from "./table.ts";
import { bindingAlignment } from "./usage.ts";

export type WebgpuStepItem<P> = StepItem<P, Vector, StepScalar>;

/** A parameter with all that its update binds. */
interface Member<P> {
  readonly parameter: WebgpuStepParameter<P>;
  readonly program: Program;
  readonly accumulator: Vector;
  /** The master weights are the last. */
  readonly slots: readonly Vector[];
  readonly range: ParameterRange;
  readonly access: ParameterAccess;
  /** What it is bound by, shared with others in the same buffer. In bytes. */
  readonly window: { readonly offset: number; size: number };
}

interface Batch<P> {
  readonly first: Member<P>;
  readonly indices: readonly number[];
  readonly tiles: number;
  readonly update: Kernel;
  readonly norms: Kernel | undefined;
  readonly range: GPUBufferBinding;
  /** By the buffer of the parameter. */
  readonly groups: WeakMap<
    GPUBuffer,
    { readonly update: GPUBindGroup; readonly norms: GPUBindGroup | undefined }
  >;
}

interface Check {
  readonly buffer: GPUBuffer;
  readonly groups: number;
  readonly range: GPUBufferBinding;
}

/** What one record of the table is for. */
export interface PlannedRecord<P> {
  readonly index: number;
  readonly parameter: WebgpuStepParameter<P>;
  readonly program: Program;
  /** Words of the table: of the record, and of the code and the statics by which the device computes its uniforms. */
  readonly at: number;
  readonly code: number;
  readonly statics: number;
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
  readonly #members: readonly Member<P>[];
  readonly #byParameter: ReadonlyMap<WebgpuStepParameter<P>, PlannedRecord<P>>;
  readonly #registers: number;
  /** Of the program with most. */
  readonly #norms: number;
  readonly #batches: readonly Batch<P>[];
  readonly #checks: readonly Check[];
  readonly #partials: GPUBuffer;
  readonly #partialCount: number;
  readonly #normPartials: GPUBuffer | undefined;
  /** Of a group and program, what the statics at this word were computed from. */
  readonly #versions = new Map<number, number>();
  readonly #kernels = new Map<string, Kernel>();
  readonly #checkGroups = new Map<Check, GPUBindGroup>();
  readonly #prepareGroups = new WeakMap<GPUBuffer, GPUBindGroup>();
  #afterNormsGroup: GPUBindGroup | undefined;

  constructor(
    device: Device,
    port: ParameterPort<P>,
    state: DeviceState,
    items: readonly WebgpuStepItem<P>[],
  ) {
    this.#device = device;
    this.#port = port;
    this.#state = state;
    const lists = batched(withWindows(port, items, largestBinding(device.gpu.limits)), (member) => [
      member.accumulator.buffer,
      ...(port.moves ? [member.parameter] : [member.range.buffer, member.window]),
      member.program,
      member.access,
      ...member.slots.map(({ buffer }) => buffer),
    ]);
    const members = (this.#members = lists.flat());
    const programs = [...new Set(members.map(({ program }) => program))];
    this.#registers = Math.max(...programs.map(registersOf));

    const codes = new Map<Program, number>();
    const statics = new Map<HyperparameterGroup, Map<Program, number>>();
    let end = headerWords;
    for (const program of programs) {
      codes.set(program, end);
      end += codeWords(program);
    }
    for (const { parameter, program } of members) {
      memo(
        memo(statics, parameter.group, () => new Map<Program, number>()),
        program,
        () => {
          const at = end;
          end += staticWords(program);
          return at;
        },
      );
    }
    this.table = new Table(
      device,
      "step",
      end - headerWords,
      Math.max(...programs.map(recordWords)),
      members.map(({ accumulator, range, window }) => ({
        planeStart: accumulator.place.start,
        paramStart: (range.offset - window.offset) / bytesPerElement[range.dtype],
        length: range.length,
      })),
    );
    this.records = members.map(({ parameter, program }, index) => ({
      index,
      parameter,
      program,
      at: this.table.recordAt(index),
      code: codes.get(program) as number,
      statics: statics.get(parameter.group)?.get(program) as number,
      item: undefined,
      active: false,
    }));
    this.#byParameter = new Map(this.records.map((planned) => [planned.parameter, planned]));

    const { table } = this;
    const indexOf = new Map(members.map((member, index) => [member, index]));
    const runOf = (list: readonly Member<P>[]): TileRun =>
      joined(list.map((member) => table.runs[indexOf.get(member) as number] as TileRun));
    const chunks = batched(members, ({ accumulator }) => [accumulator.buffer]);
    let partials = 0;
    const checks = chunks.map((list) => {
      const run = { ...runOf(list), number: partials };
      const groups = checkWorkgroups(run.count);
      partials += groups * partialsPerWorkgroup;
      return { buffer: (list[0] as Member<P>).accumulator.buffer, groups, run };
    });
    const runs = lists.map(runOf);
    const ranges = table.bindRuns("step", [...runs, ...checks.map(({ run }) => run)]);
    this.#checks = checks.map(({ buffer, groups }, index) => ({
      buffer,
      groups,
      range: ranges[runs.length + index] as GPUBufferBinding,
    }));
    this.#partialCount = partials;
    this.#partials = device.createBuffer("partials", 4 * partialWords * partials);
    this.#norms = Math.max(...programs.map(({ norms }) => norms.length));
    if (this.hasNorms) {
      table.setWord(header.normStride, this.#norms);
      const size = 4 * partialWords * this.#norms * table.tileCount;
      this.#normPartials = device.createBuffer("norm partials", size);
    }
    this.#batches = lists.map((list, index) => {
      const first = list[0] as Member<P>;
      const { program, access } = first;
      return {
        first,
        indices: list.map((member) => indexOf.get(member) as number),
        tiles: (runs[index] as TileRun).count,
        update: device.kernel(updateKernel(program, access)),
        norms: program.norms.length > 0 ? device.kernel(normsKernel(program, access)) : undefined,
        range: ranges[index] as GPUBufferBinding,
        groups: new WeakMap(),
      };
    });
    const groupOf = new Map(members.map(({ program, parameter }) => [program, parameter.group]));
    for (const [program, at] of codes) {
      const scalarSlots = groupOf.get(program)?.everySlot.scalarSlots ?? [];
      writeCode(program, [...scalarSlots], table.words, at);
    }
    for (const [index, planned] of this.records.entries()) {
      const { first, count } = table.runs[index] as TileRun;
      table.setWord(planned.at + record.statics, planned.statics);
      table.setWord(planned.at + record.state, state.blockOf(planned.parameter.name));
      table.setWord(planned.at + record.firstTile, first);
      table.setWord(planned.at + record.tileCount, count);
    }
  }

  get hasNorms(): boolean {
    return this.#norms > 0;
  }

  /** Whether it holds all of these as they are now. */
  fits(items: readonly WebgpuStepItem<P>[]): boolean {
    return items.every((item) => {
      const planned = this.#byParameter.get(item.parameter);
      if (planned === undefined || planned.program !== item.program) return false;
      if (planned.item === item) return true;
      const member = this.#members[planned.index] as Member<P>;
      const slots = slotsOf(item);
      const fits =
        member.accumulator === item.parameter.accumulator &&
        slots.length === member.slots.length &&
        slots.every((slot, index) => slot === member.slots[index]);
      if (fits) planned.item = item;
      return fits;
    });
  }

  /** These, and of its own those that are others. */
  with(items: readonly WebgpuStepItem<P>[]): readonly WebgpuStepItem<P>[] {
    const added = new Set(items.map(({ parameter }) => parameter));
    const kept = this.#members
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
      writeStatics(program, group.values, this.table.floats, statics);
      this.table.changed(statics, staticWords(program));
    }
  }

  /** Partials that a check will write. */
  get partialCount(): number {
    return this.#partialCount;
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
    const kernel = this.#kernel(`prepare ${onDevice}`, () => prepareKernel(onDevice ? this.#registers : 0));
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

  recordNorms(pass: GPUComputePassEncoder): void {
    for (const batch of this.#batches) {
      if (batch.norms === undefined || !this.#isActive(batch)) continue;
      pass.setPipeline(batch.norms.pipeline);
      pass.setBindGroup(0, this.#groupsOf(batch).norms as GPUBindGroup);
      dispatch(pass, batch.tiles);
    }
    const kernel = this.#kernel("norms", () => prepareNormsKernel(this.#registers, this.#norms));
    this.#afterNormsGroup ??= this.#device.bind(kernel, [
      { buffer: this.table.buffer },
      { buffer: this.#state.buffer },
      { buffer: this.#normPartials as GPUBuffer },
    ]);
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, this.#afterNormsGroup);
    dispatch(pass, this.records.length);
  }

  recordUpdate(pass: GPUComputePassEncoder): void {
    for (const batch of this.#batches) {
      if (!this.#isActive(batch)) continue;
      pass.setPipeline(batch.update.pipeline);
      pass.setBindGroup(0, this.#groupsOf(batch).update);
      dispatch(pass, batch.tiles);
    }
  }

  destroy(): void {
    this.table.destroy();
    this.#partials.destroy();
    this.#normPartials?.destroy();
  }

  /** Found without printing it anew. */
  #kernel(key: string, print: () => KernelSource): Kernel {
    return memo(this.#kernels, key, () => this.#device.kernel(print()));
  }

  #isActive({ tiles, indices }: Batch<P>): boolean {
    return tiles > 0 && indices.some((index) => this.records[index]?.active);
  }

  #groupsOf({ first, update, norms, range, groups }: Batch<P>): {
    readonly update: GPUBindGroup;
    readonly norms: GPUBindGroup | undefined;
  } {
    const { parameter, window, accumulator, slots } = first;
    const { buffer } = this.#port.moves ? this.#port.resolve(parameter.value) : first.range;
    return memo(groups, buffer, () => {
      const bindings: GPUBufferBinding[] = [
        { buffer, ...window },
        { buffer: accumulator.buffer },
        ...slots.map((slot) => ({ buffer: slot.buffer })),
        { buffer: this.table.buffer },
        range,
      ];
      return {
        update: this.#device.bind(update, bindings),
        norms: norms && this.#device.bind(norms, [...bindings, { buffer: this.#normPartials as GPUBuffer }]),
      };
    });
  }
}

/** Slots as they are bound. */
function slotsOf<P>({ parameter, slots }: WebgpuStepItem<P>): readonly Vector[] {
  const master = parameter.slots.get(masterSlot);
  return master === undefined ? slots : [...slots, master];
}

/** Finds what each parameter is bound by: as many of one buffer as one binding reaches. */
function withWindows<P>(
  port: ParameterPort<P>,
  items: readonly WebgpuStepItem<P>[],
  most: number,
): readonly Member<P>[] {
  const members = items.map((item) => ({ item, range: port.resolve(item.parameter.value) }));
  const windows = new Map<(typeof members)[number], Member<P>["window"]>();
  const sorted = [...members].sort((a, b) => a.range.offset - b.range.offset);
  for (const list of batched(sorted, ({ range, item }) => [port.moves ? item : range.buffer])) {
    let window: Member<P>["window"] | undefined;
    for (const member of list) {
      const { offset, length, dtype, buffer } = member.range;
      // Whole words, as far as the buffer has them: what is read beyond a parameter's end is thrown away.
      const end = Math.min(
        offset + Math.max(4, Math.ceil((bytesPerElement[dtype] * length) / 16) * 16),
        buffer.size,
      );
      if (window === undefined || end - window.offset > most) {
        window = { offset: offset - (offset % bindingAlignment), size: 0 };
      }
      window.size = Math.max(window.size, Math.ceil((end - window.offset) / 4) * 4);
      windows.set(member, window);
    }
  }
  return members.map((member) => {
    const { item, range } = member;
    const { parameter, program } = item;
    return {
      parameter,
      program,
      accumulator: parameter.accumulator as Vector,
      slots: slotsOf(item),
      range,
      access: accessOf(range),
      window: windows.get(member) as Member<P>["window"],
    };
  });
}

function accessOf({ offset, length, dtype, padded }: ParameterRange): ParameterAccess {
  if (dtype === "float16") return "packed";
  return offset % 16 === 0 && (length % 4 === 0 || padded) ? "vec4" : "scalar";
}
