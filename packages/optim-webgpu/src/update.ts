import {
  type Checked,
  type CheckRequest,
  evaluateScalars,
  extentsOf,
  memo,
  type Program,
  refuse,
  type StepStages,
  unscaleFactor,
  type StepClip,
} from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import type { Device } from "./device.ts";
import type { ErrorSink } from "./error-sink.ts";
import {
  globals,
  header,
  type NormKind,
  normKinds,
  pair,
  record,
  scalerStateWords,
  wide,
  writeUniforms,
} from "./kernel/index.ts";
import type { Latch } from "./latch.ts";
import type { StepScalar, WebgpuLossScaler } from "./loss-scaler.ts";
import { type PlannedRecord, StepPlan } from "./plan.ts";
import type { ParameterPort } from "./port.ts";
import { DeviceScalar, type DeviceState } from "./scalars.ts";
import { type FindRoom, type WebgpuStepItem } from "./step-members.ts";
import type { Vector } from "./storage.ts";

/** Plans that are kept: structures that alternate, as SAM's do, cost nothing. */
const mostPlans = 4;

/**
 * The stages of a step. On the device they are three kernels: `check`, `prepare` (which unscales, clips, counts, and tells the loss scaler)
 * and `update`; here the first ones only note what they are asked for, and the last one records all of it, in one pass.
 *
 * The decision: where a step may be skipped, and for rules with norms, the device, from then on until a state is loaded: it counts the steps
 * and computes the rule's scalars. Otherwise the host does both, in float64.
 */
export class WebgpuStages<P> implements StepStages<P, Vector, StepScalar> {
  readonly #device: Device;
  readonly #port: ParameterPort<P>;
  readonly #state: DeviceState;
  readonly #latch: Latch;
  readonly #errors: ErrorSink;
  readonly #roomFor: FindRoom<P>;
  /** The one that was used last is the first. */
  #plans: StepPlan<P>[] = [];
  /** Bound where a kernel has a binding and does not use it. */
  readonly #unused: GPUBuffer;
  /** The arguments of the stages before the last. */
  #request: CheckRequest | undefined;
  #rescale = 1;
  #lossScale: StepScalar | undefined;
  /** Steps that the host has counted. */
  #steps = 0;
  /** Failed steps that a read has reported. A load leaves what is to be told. */
  #reported = 0;
  #hasNorm = false;

  constructor(
    device: Device,
    port: ParameterPort<P>,
    state: DeviceState,
    latch: Latch,
    errors: ErrorSink,
    roomFor: FindRoom<P>,
  ) {
    this.#device = device;
    this.#port = port;
    this.#state = state;
    this.#latch = latch;
    this.#errors = errors;
    this.#roomFor = roomFor;
    this.#unused = device.createBuffer("unused", 4 * 2 * scalerStateWords);
  }

  check(items: readonly WebgpuStepItem<P>[], request: CheckRequest): Checked<StepScalar> {
    this.#device.requireLive();
    this.#scalerOf(request)?.requireOn(this.#device);
    this.#port.claim?.(items.map(({ parameter }) => parameter));
    this.#request = request;
    return {
      norm: request.normType === undefined ? undefined : new DeviceScalar(globals.norm, "wide"),
      finite: request.finite ? new DeviceScalar(globals.finite, "u32") : undefined,
    };
  }

  unscale(rescale: number, lossScale: StepScalar | undefined): StepScalar {
    this.#rescale = rescale;
    this.#lossScale = lossScale;
    return rescale;
  }

  clip(factor: StepScalar): StepScalar {
    return factor;
  }

  update(
    items: readonly WebgpuStepItem<P>[],
    _factor: StepScalar,
    _checked: Checked<StepScalar>,
    clipGrad: StepClip | undefined,
  ): void {
    this.#errors.watch("step", () => {
      const request = this.#request as CheckRequest;
      const { normType, ignoreNonFinite } = request;
      const lossScale = this.#lossScale;
      const plan = this.#planFor(items);
      const checks = request.finite || normType !== undefined;
      const onDevice = request.finite || plan.evaluates || items.some(isOnDevice);
      const latching = lossScale === undefined ? undefined : this.#latch.change(lossScale, this.#latch.scale);
      if (onDevice) for (const { parameter } of items) this.#install(parameter);

      this.#port.flush?.();
      const encoder = this.#device.createEncoder("step");
      latching?.record?.(encoder);
      latching?.commit();
      plan.activate(items);
      this.#writeHeader(plan, request, clipGrad);
      const scaler = this.#tellScaler(plan, this.#scalerOf(request));
      if (onDevice) plan.leaveToDevice();
      else this.#evaluate(plan, unscaleFactor(this.#rescale, undefined), clipGrad);
      plan.table.upload();

      const pass = encoder.beginComputePass({ label: "optim step" });
      if (checks) plan.recordCheck(pass, normKind(normType), ignoreNonFinite);
      if (checks || onDevice) plan.recordPrepare(pass, onDevice, scaler, this.#latch.seed);
      plan.recordPasses(pass);
      plan.recordUpdate(pass);
      pass.end();
      this.#device.submit([encoder.finish()]);
      this.#port.written?.(items.map(({ parameter }) => parameter.value));
      if (!checks && !onDevice) this.#steps += 1;
      this.#hasNorm = normType !== undefined;
    });
  }

  /** On a plan of its own, which binds vectors that are soon released. */
  run(items: readonly WebgpuStepItem<P>[]): void {
    this.#device.requireLive();
    this.#port.claim?.(items.map(({ parameter }) => parameter));
    this.#errors.watch("evaluation point", () => {
      const plan = new StepPlan(this.#device, this.#port, this.#state, items, this.#roomFor);
      const onDevice = items.some((item) => isDynamic(item.program) && isOnDevice(item));
      if (onDevice) for (const { parameter } of items) this.#install(parameter);
      this.#port.flush?.();
      const encoder = this.#device.createEncoder("evaluation point");
      plan.activate(items);
      plan.table.setWord(header.runs, 1);
      if (onDevice) plan.leaveToDevice();
      else this.#evaluate(plan, 1, undefined, false);
      plan.table.upload();
      const pass = encoder.beginComputePass({ label: "optim evaluation point" });
      if (onDevice) plan.recordPrepare(pass, true, this.#unused, this.#latch.seed);
      plan.recordUpdate(pass);
      pass.end();
      this.#device.submit([encoder.finish()]);
      plan.destroy();
      this.#port.written?.(items.map(({ parameter }) => parameter.value));
    });
  }

  /** Waits for the device. @throws OptimError `device-error`, `non-finite-gradient` */
  async readMetrics(): Promise<{
    readonly gradNorm?: number;
    readonly steps: number;
    readonly skipped: number;
  }> {
    const counted = this.#steps;
    const hasNorm = this.#hasNorm;
    const rethrow = this.#errors.beginRead();
    const read = await this.#state.read();
    await rethrow();
    const at = (word: number, type: DeviceScalar["type"] = "u32"): number =>
      read(new DeviceScalar(word, type));
    const failed = at(globals.failed);
    if (failed > this.#reported) {
      this.#reported = failed;
      const where = `${this.#device.who}: a step since the last read`;
      const hint = "It was skipped: parameters and state are as they were before it";
      refuse("non-finite-gradient", where, "finite gradients", "one that is not", { hint });
    }
    return {
      ...(hasNorm && { gradNorm: at(globals.norm, "wide") }),
      steps: counted + at(globals.steps),
      skipped: at(globals.skipped),
    };
  }

  writeCounts({ steps, skipped }: { readonly steps: number; readonly skipped: number }): void {
    this.#steps = steps;
    this.#state.write(globals.steps, Uint32Array.of(0, skipped));
  }

  /** The state has another buffer, which plans bind. */
  rebind(): void {
    for (const plan of this.#plans.splice(0)) plan.destroy();
  }

  dispose(): void {
    this.rebind();
    this.#unused.destroy();
  }

  /** Core has seen that it is of this backend. */
  #scalerOf({ lossScaler }: CheckRequest): WebgpuLossScaler | undefined {
    return lossScaler as WebgpuLossScaler | undefined;
  }

  #planFor(items: readonly WebgpuStepItem<P>[]): StepPlan<P> {
    const known = this.#plans.find((plan) => plan.fits(items));
    const plan =
      known ??
      new StepPlan(
        this.#device,
        this.#port,
        this.#state,
        this.#plans[0]?.with(items) ?? items,
        this.#roomFor,
      );
    if (plan !== this.#plans[0]) this.#plans = [plan, ...this.#plans.filter((other) => other !== plan)];
    for (const old of this.#plans.splice(mostPlans)) old.destroy();
    return plan;
  }

  /** Says what `prepare` does for a loss scaler. Gives the buffer of its states, or of what has their place. */
  #tellScaler({ table }: StepPlan<P>, scaler: WebgpuLossScaler | undefined): GPUBuffer {
    const lossScale = this.#lossScale;
    table.setWord(header.latched, this.#latch.index);
    table.setFloat(header.seedScale, this.#latch.scale);
    if (scaler !== undefined) {
      this.#latch.stepped(scaler.recordAndAdvance(table));
      return scaler.buffer;
    }
    // Gradients that carry a scale are unscaled also where nobody is told.
    table.setWord(header.scaler, Number(lossScale !== undefined));
    if (lossScale !== undefined) this.#latch.stepped(undefined);
    return this.#unused;
  }

  #writeHeader(
    { table, partialCount }: StepPlan<P>,
    { normType, finite, orThrow }: CheckRequest,
    clipGrad: StepClip | undefined,
  ): void {
    const checks = finite || normType !== undefined;
    table.setWord(header.partialCount, checks ? partialCount : 0);
    const rescale = wide(this.#rescale);
    table.setPair(header.rescale, rescale.fraction);
    table.setWord(header.rescaleExponent, rescale.exponent);
    table.setWord(header.normKind, normType === undefined ? 0 : normKinds[normKind(normType)]);
    table.setFloat(header.power, normType ?? 0);
    table.setWord(header.skips, Number(finite));
    table.setWord(header.fails, Number(orThrow));
    const byNorm = clipGrad !== undefined && clipGrad.type !== "value";
    table.setWord(header.clips, Number(byNorm));
    const maxNorm = wide(byNorm ? clipGrad.maxNorm : 0);
    table.setFloat(header.maxNorm, maxNorm.fraction);
    table.setWord(header.maxNormExponent, maxNorm.exponent);
    table.setFloat(header.clipValue, clipGrad?.type === "value" ? clipGrad.clipValue : 0);
  }

  /** Gives the device the counts and scalar slots that the host has. */
  #install(parameter: WebgpuStepParameter<P>): void {
    const state = this.#state;
    const { name, step, scalarSlots } = parameter;
    if (typeof step === "number") {
      const scalar = state.stepOf(name);
      state.write(scalar.word, Uint32Array.of(step));
      parameter.step = scalar;
    }
    for (const [slot, value] of scalarSlots) {
      const scalar = state.slotOf(name, slot);
      if (typeof value === "number") state.write(scalar.word, Float32Array.from(pair(value)));
      // Of a shared slot, another parameter's.
      else if (value instanceof DeviceScalar && value.word !== scalar.word) state.copy(value, scalar);
      else continue;
      scalarSlots.set(slot, scalar);
    }
  }

  /** The scalars of the rule, by the host: parameters of one group that took as many steps have the same. */
  #evaluate(plan: StepPlan<P>, factor: number, clipGrad: StepClip | undefined, counts = true): void {
    const { table, records } = plan;
    const clipValue = clipGrad?.type === "value" ? clipGrad.clipValue : 0;
    let last:
      | { readonly planned: PlannedRecord<P>; readonly step: number; readonly registers: Float64Array }
      | undefined;
    for (const planned of records) {
      const { parameter, program, at } = planned;
      table.setWord(at + record.code, 0);
      table.setWord(at + record.live, Number(planned.active));
      if (!planned.active) continue;
      // Where the device counts, nothing here depends on it.
      const step = typeof parameter.step === "number" ? parameter.step + 1 : Number.NaN;
      const { group } = parameter;
      const isSame =
        last?.planned.program === program &&
        last.planned.parameter.group === group &&
        last.planned.shape === planned.shape &&
        last.step === step &&
        program.scalarSlots.length === 0;
      const registers = isSame ? (last as { registers: Float64Array }).registers : registersFor(program);
      if (!isSame) {
        const scalarSlots = parameter.scalarSlots as Map<string, number>;
        const extents = extentsOf(parameter.view);
        const inputs = { hyperparameters: group.values, step, scalarSlots, sums: [], extents };
        evaluateScalars(program, inputs, registers);
      }
      last = { planned, step, registers };
      writeUniforms(program, registers, factor, clipValue, table.floats, at);
      if (!counts) continue;
      for (const [index, name] of program.scalarSlots.entries()) {
        parameter.scalarSlots.set(name, registers[program.scalarOutputs[index] as number] as number);
      }
      parameter.step = step;
    }
    const { records: first, stride } = table.layout;
    table.changed(first, stride * records.length);
  }
}

const scratch = /* @__PURE__ */ new WeakMap<Program, Float64Array>();

/** Where a program's scalars are evaluated: overwritten. */
const registersFor = (program: Program): Float64Array =>
  memo(scratch, program, () => new Float64Array(program.scalars.length));

/** Whether scalars of the program depend on more than hyperparameters. */
const isDynamic = ({ scalars }: Program): boolean => scalars.some(({ dynamic }) => dynamic);

function isOnDevice<P>({ parameter: { step, scalarSlots } }: WebgpuStepItem<P>): boolean {
  return typeof step !== "number" || [...scalarSlots.values()].some((value) => typeof value !== "number");
}

function normKind(p: number | undefined): NormKind {
  if (p === undefined) return "none";
  // As the device has it: a power above float32 is as good as infinite.
  if (Math.fround(p) === Number.POSITIVE_INFINITY) return "inf";
  return p === 1 || p === 2 ? p : "power";
}
