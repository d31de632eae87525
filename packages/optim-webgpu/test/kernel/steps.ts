import type { LossScaleSettings } from "@mm/optim-core";
import type { Program } from "@mm/optim-core/backend";
import {
  checkKernel,
  checkWorkgroups,
  codeWords,
  globals,
  globalsWords,
  header,
  headerWords,
  type NormKind,
  normKinds,
  pair,
  partialsPerWorkgroup,
  partialWords,
  prepareKernel,
  record,
  recordWords,
  registersOf,
  scalerState,
  scalerStateWords,
  stateBlock,
  stateBlockWords,
  staticWords,
  wide,
  writeCode,
  writeStatics,
} from "../../src/kernel/index.ts";
import { type Dispatch, placesOf, planeOf, type Rig, type Table, tableOf } from "./rig.ts";

/** The options of a step in a test; absent is off. */
export interface StepHeader {
  readonly norm?: NormKind;
  readonly power?: number;
  readonly ignoreNonFinite?: boolean;
  readonly skips?: boolean;
  readonly fails?: boolean;
  readonly rescale?: number;
  readonly maxNorm?: number;
  readonly clipValue?: number;
  readonly scaler?: LossScaleSettings;
}

/** One parameter each for some gradients, with a program whose scalars the device computes, and all that `prepare` writes. */
export class Steps {
  readonly #rig: Rig;
  readonly #table: Table;
  readonly #program: Program;
  readonly #gradients: GPUBuffer;
  readonly #tableBuffer: GPUBuffer;
  readonly #range: GPUBuffer;
  readonly #partials: GPUBuffer;
  readonly #state: GPUBuffer;
  readonly scaler: GPUBuffer;
  readonly seed: GPUBuffer;
  readonly #groups: number;

  constructor(
    rig: Rig,
    gradients: readonly Float32Array[],
    program: Program,
    hyperparameters: object,
    scalarSlots: readonly (readonly [string, number])[] = [],
  ) {
    this.#rig = rig;
    this.#program = program;
    const names = scalarSlots.map(([name]) => name);
    const places = placesOf(
      gradients.map(({ length }) => length),
      "vec4",
    );
    const [code, statics] = [codeWords(program), staticWords(program)];
    const table = tableOf(places, recordWords(program), code + statics);
    writeCode(program, names, table.words, headerWords);
    writeStatics(program, hyperparameters as never, table.floats, headerWords + code);
    const block = stateBlockWords(names.length);
    const state = new Float32Array(globalsWords + block * places.length);
    for (const [index, at] of table.records.entries()) {
      table.words[at + record.code] = headerWords;
      table.words[at + record.statics] = headerWords + code;
      const blockAt = globalsWords + block * index;
      table.words[at + record.state] = blockAt;
      for (const [slot, [, value]] of scalarSlots.entries()) {
        state.set(pair(value), blockAt + stateBlock.scalarSlots + 2 * slot);
      }
    }
    this.#table = table;
    this.#groups = checkWorkgroups(table.tileCount);
    this.#gradients = rig.buffer(planeOf(places, gradients));
    this.#tableBuffer = rig.buffer(table.words);
    this.#range = rig.uniform(table.range);
    this.#partials = rig.buffer(
      new Uint32Array(partialWords * Math.max(1, this.#groups) * partialsPerWorkgroup),
    );
    this.#state = rig.buffer(state);
    this.scaler = rig.buffer(new Uint32Array(2 * scalerStateWords));
    this.seed = rig.buffer(new Float32Array(4));
  }

  /** Overwrites a word of the host's. */
  set(word: number, value: number, type: "u32" | "f32" | "pair" = "u32"): void {
    if (type === "u32") this.#table.words[word] = value;
    else if (type === "f32") this.#table.floats[word] = value;
    else this.#table.floats.set(pair(value), word);
  }

  setRecord(index: number, word: number, value: number): void {
    this.set(this.#table.records[index]! + word, value);
  }

  writeScaler(scale: number): void {
    this.#rig.device.queue.writeBuffer(this.scaler, 0, Float32Array.of(scale, 0, 0, 0));
    this.#rig.device.queue.writeBuffer(this.#state, 4 * globals.latched, Float32Array.of(scale));
  }

  /** The states of all parameters before their next step. */
  writeStates(
    states: readonly {
      readonly step: number;
      readonly scalarSlots: readonly (readonly [string, number])[];
    }[],
  ): void {
    const size = stateBlockWords(states[0]!.scalarSlots.length);
    const floats = new Float32Array(size * states.length);
    const words = new Uint32Array(floats.buffer);
    for (const [index, { step, scalarSlots }] of states.entries()) {
      words[size * index + stateBlock.step] = step;
      floats.set(
        scalarSlots.flatMap(([, value]) => pair(value)),
        size * index + stateBlock.scalarSlots,
      );
    }
    this.#rig.device.queue.writeBuffer(this.#state, 4 * globalsWords, words);
  }

  writeGradients(index: number, gradient: Float32Array): void {
    this.#rig.device.queue.writeBuffer(this.#gradients, 4 * index, gradient as Float32Array<ArrayBuffer>);
  }

  /** Check (where something is measured or skipped) and prepare, so many times. */
  step(options: StepHeader, times = 1): void {
    const { norm = "none", power = 0, rescale = 1, scaler, maxNorm, clipValue = 0 } = options;
    const { skips = false, fails = false, ignoreNonFinite = false } = options;
    const checks = norm !== "none" || skips;
    this.set(header.normKind, normKinds[norm]);
    this.set(header.power, power, "f32");
    this.set(header.partialCount, checks ? this.#groups * partialsPerWorkgroup : 0);
    this.set(header.skips, Number(skips));
    this.set(header.fails, Number(fails));
    const [factor, most] = [wide(rescale), wide(maxNorm ?? 0)];
    this.set(header.rescale, factor.fraction, "pair");
    this.set(header.rescaleExponent, factor.exponent);
    this.set(header.clips, Number(maxNorm !== undefined));
    this.set(header.maxNorm, most.fraction, "f32");
    this.set(header.maxNormExponent, most.exponent);
    this.set(header.clipValue, clipValue, "f32");
    this.set(header.scaler, scaler === undefined ? 0 : scaler.dynamic ? 2 : 1);
    if (scaler !== undefined) {
      this.set(header.growthInterval, scaler.growthInterval);
      this.set(header.growthFactor, scaler.growthFactor, "pair");
      this.set(header.backoffFactor, scaler.backoffFactor, "pair");
      this.set(header.minScale, scaler.minScale, "f32");
    }
    this.#rig.device.queue.writeBuffer(this.#tableBuffer, 0, this.#table.words as Uint32Array<ArrayBuffer>);
    const check: Dispatch = {
      source: checkKernel(norm, ignoreNonFinite),
      bindings: [this.#gradients, this.#tableBuffer, this.#range, this.#partials],
      groups: [this.#groups],
    };
    const prepare: Dispatch = {
      source: prepareKernel(registersOf(this.#program)),
      bindings: [this.#tableBuffer, this.#state, this.#partials, this.scaler, this.seed],
      groups: [Math.ceil(this.#table.records.length / 64)],
    };
    this.#rig.run(Array.from({ length: times }, () => (checks ? [check, prepare] : [prepare])).flat());
  }

  async globals(): Promise<{ norm: number; finite: number; steps: number; skipped: number; failed: number }> {
    const words = await this.#rig.words(this.#state);
    const exponent = new Int32Array(words.buffer)[globals.normExponent]!;
    return {
      norm: new Float32Array(words.buffer)[globals.norm]! * 2 ** exponent,
      finite: words[globals.finite]!,
      steps: words[globals.steps]!,
      skipped: words[globals.skipped]!,
      failed: words[globals.failed]!,
    };
  }

  /** Both latched scales. */
  async latched(): Promise<readonly number[]> {
    const floats = await this.#rig.floats(this.#state);
    return Array.from(floats.subarray(globals.latched, globals.latched + 2));
  }

  /** By parameter: whether `update` touches it, and its uniforms. */
  async records(): Promise<
    readonly { readonly live: number; readonly factorRest: number; readonly uniforms: readonly number[] }[]
  > {
    const words = await this.#rig.words(this.#tableBuffer);
    const floats = new Float32Array(words.buffer);
    return this.#table.records.map((at) => ({
      live: words[at + record.live]!,
      factorRest: floats[at + record.factorRest]!,
      uniforms: [
        ...floats.subarray(at + record.uniforms, at + record.uniforms + this.#program.uniforms.length),
      ],
    }));
  }

  /** By parameter: its step count and its scalar slots. */
  async state(): Promise<readonly { readonly step: number; readonly scalarSlots: readonly number[] }[]> {
    const words = await this.#rig.words(this.#state);
    const floats = new Float32Array(words.buffer);
    return this.#table.records.map((at) => {
      const block = this.#table.words[at + record.state]!;
      return {
        step: words[block + stateBlock.step]!,
        scalarSlots: this.#program.scalarSlots.map((_, slot) => {
          const word = block + stateBlock.scalarSlots + 2 * slot;
          return floats[word]! + floats[word + 1]!;
        }),
      };
    });
  }

  /** The current state of the loss scaler, and what `update()` would make of it. */
  async scalerStates(): Promise<readonly { scale: number; growthTracker: number; found: number }[]> {
    const words = await this.#rig.words(this.scaler);
    const floats = new Float32Array(words.buffer);
    return [0, scalerStateWords].map((at) => ({
      scale: floats[at + scalerState.scale]!,
      growthTracker: words[at + scalerState.growthTracker]!,
      found: words[at + scalerState.found]!,
    }));
  }
}
