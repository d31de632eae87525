import type { HyperparameterRecord } from "@mm/optim-core";
import {
  evaluateScalars,
  type Extents,
  memo,
  type Pass,
  type Program,
  type ScalarInstruction,
  type TensorReduction,
} from "@mm/optim-core/backend";
import { termsAt } from "./along.ts";
import { pair, record, stateBlock } from "./layout.ts";
import { wide } from "./wide.ts";

/**
 * The scalar part of a program for `prepare`, which interprets it: registers of pairs, first the statics, then one for each instruction.
 * So there is one `prepare` for all rules, and nothing is compiled for a new one.
 */
interface ScalarCode {
  readonly statics: readonly Static[];
  readonly instructions: readonly Instruction[];
  /** By uniform: its register, or what stands for the other sources. */
  readonly uniforms: readonly number[];
  /** By scalar slot: the register with its next value. */
  readonly slots: readonly number[];
  /** By total: the register that is added up. */
  readonly terms: readonly number[];
}

/** The values that the host sends because they depend on hyperparameters alone: a register of the program, or the logarithm of its size. */
type Static = { readonly constant: number } | { readonly register: number; readonly log: boolean };

type Instruction = readonly [code: OpCode, a?: number, b?: number, c?: number];

/** The operations of `prepare`. `logGuess`, `keep` and `power` are parts of `log` and `pow`: see `lower`. */
export const opCodes = {
  step: 0,
  scalarSlot: 1,
  norm: 2,
  add: 3,
  sub: 4,
  mul: 5,
  div: 6,
  sqrt: 7,
  expm1: 8,
  logGuess: 9,
  keep: 10,
  power: 11,
  neg: 12,
  abs: 13,
  sign: 14,
  min: 15,
  max: 16,
  gt: 17,
  eq: 18,
  select: 19,
  total: 20,
} as const;
type OpCode = keyof typeof opCodes;

/** In place of a register, where a uniform is none. */
export const uniformCodes = { gradFactor: 0xffff, clipValue: 0xfffe } as const;

const codes = /* @__PURE__ */ new WeakMap<Program, ScalarCode>();

const codeOf = (program: Program): ScalarCode => memo(codes, program, () => lower(program));

function lower(program: Program): ScalarCode {
  const { scalars } = program;
  const totals = totalsOf(program);
  const statics: Static[] = [];
  const instructions: Instruction[] = [];
  // Statics have the first registers, and not all are known yet: instructions have negative ones until the end.
  const places = new Map<string, number>();
  const register = (key: string, make: () => number): number => memo(places, key, make);
  const fromHost = (item: Static): number => register(JSON.stringify(item), () => statics.push(item) - 1);
  const emit = (...instruction: Instruction): number => -instructions.push(instruction);

  const value = (index: number): number =>
    register(`${index}`, () => {
      const instruction = scalars[index] as ScalarInstruction;
      return instruction.dynamic ? emitInstruction(instruction) : fromHost({ register: index, log: false });
    });
  const one = (): number => fromHost({ constant: 1 });
  /** ln |x| of a register of the program. */
  const logOfSize = (index: number): number =>
    scalars[index]?.dynamic === true
      ? emitLog(emit("abs", value(index)))
      : fromHost({ register: index, log: true });
  /** From a guess g: g + 2(xe⁻ᵍ − 1)/(xe⁻ᵍ + 1), unless it is not finite. */
  const emitLog = (x: number): number => {
    const guess = emit("logGuess", x);
    const near = emit("mul", x, emit("add", emit("expm1", emit("neg", guess)), one()));
    const change = emit("div", emit("sub", near, one()), emit("add", near, one()));
    return emit("keep", guess, emit("add", guess, emit("add", change, change)));
  };
  const emitInstruction = (instruction: ScalarInstruction): number => {
    switch (instruction.op) {
      case "step":
        return emit("step");
      case "scalarSlot":
        return emit("scalarSlot", program.scalarSlots.indexOf(instruction.name));
      case "reduced":
        return emit("norm", instruction.reduction);
      case "exp":
        return emit("add", emit("expm1", value(instruction.a)), one());
      case "log":
        return emitLog(value(instruction.a));
      case "biasCorrection":
        return emit("neg", emit("expm1", emit("mul", value(instruction.b), logOfSize(instruction.a))));
      case "pow": {
        const { a, b } = instruction;
        const size = emit("add", emit("expm1", emit("mul", value(b), logOfSize(a))), one());
        return emit("power", value(a), value(b), size);
      }
      case "select":
        return emit("select", value(instruction.a), value(instruction.b), value(instruction.condition));
      case "lt":
        return emit("gt", value(instruction.b), value(instruction.a));
      case "neg":
      case "sqrt":
      case "abs":
      case "sign":
        return emit(instruction.op, value(instruction.a));
      case "const":
      case "hyper":
      case "size":
      case "rows":
      case "cols":
        throw new Error(`${instruction.op} is none that a device computes`);
      case "total":
        return emit("total", totals.indexOf(scalars.indexOf(instruction)));
      default:
        return emit(instruction.op, value(instruction.a), value(instruction.b));
    }
  };
  const uniforms = program.uniforms.map((source) =>
    source.from === "scalar" ? value(source.register) : uniformCodes[source.from],
  );
  const slots = program.scalarOutputs.map(value);
  const terms = totals.map((index) => value((scalars[index] as { readonly a: number }).a));
  const place = (at: number): number => (at < 0 ? statics.length - 1 - at : at);
  return {
    statics,
    instructions: instructions.map(([code, a = 0, b = 0, c = 0]) => [code, place(a), place(b), place(c)]),
    uniforms: uniforms.map(place),
    slots: slots.map(place),
    terms: terms.map(place),
  };
}

/** The registers of a program that are sums over tensors, in the order in which they become known. */
function totalsOf({ passes }: Program): readonly number[] {
  return passes.flatMap((pass) => (pass.kind === "total" ? pass.registers : []));
}

/** Registers that `prepare` needs for a program. */
export function registersOf(program: Program): number {
  const { statics, instructions } = codeOf(program);
  return statics.length + instructions.length;
}

/** Words of a program's code in the table. */
export const codeBlock = {
  statics: 0,
  instructions: 1,
  uniforms: 2,
  scalarSlots: 3,
  /** How often its uniforms are computed anew in a step, when passes have reduced something; the last time its step is counted. */
  evaluations: 4,
  /** Words from here to its kinds of reductions. */
  kinds: 5,
  /** Word of the table where the sums over tensors are, pairs, and how many of them are this program's. */
  totals: 6,
  terms: 7,
  /** Words from a record to what it adds to them, pairs. */
  termsAt: 8,
  /** Words from here to the registers of these. */
  sources: 9,
  /**
   * Two words an instruction, then one for each uniform, one for each scalar slot, the kind of each reduction, and the register of each term of a
   * sum over tensors.
   */
  words: 10,
} as const;

/** Kinds of reductions by how their partials are put together. */
export const reductionCodes = { norm: 0, sum: 1, largest: 2, none: 3 } as const;

function reductionCode({ kind, per }: TensorReduction): number {
  if (per !== "tensor") return reductionCodes.none;
  return reductionCodes[kind === "dot" ? "sum" : kind];
}

/** Whether a pass finds numbers that scalars depend on. */
function isMeasuring({ reductions }: Program, pass: Pass): boolean {
  if (pass.kind === "total") return true;
  return pass.kind === "reduce" && pass.reductions.some((index) => reductions[index]?.per === "tensor");
}

/** Whether a program has a `sum` or a `dot` of a whole tensor. */
export function hasSums({ reductions }: Program): boolean {
  return reductions.some((reduction) => reductionCode(reduction) === reductionCodes.sum);
}

/**
 * The number of the last evaluation of a program's scalars, the stage of the pass before it plus 1. 0: `prepare` knows all.
 *
 * @param stages of its passes before the update. Default: one after the other
 */
export function evaluationsOf(program: Program, stages?: readonly number[]): number {
  const last = program.passes.map((pass) => isMeasuring(program, pass)).lastIndexOf(true);
  return 1 + (last < 0 ? last : (stages?.[last] ?? last));
}

export function codeWords(program: Program): number {
  const { instructions, uniforms, slots } = codeOf(program);
  return (
    codeBlock.words +
    2 * instructions.length +
    uniforms.length +
    slots.length +
    program.reductions.length +
    totalsOf(program).length
  );
}

/**
 * Writes the code of a program, from word `at` on.
 *
 * @param scalarSlots those that its rule has in any structure, in the order in which blocks of `state` hold them
 * @param step what depends on the other programs of a step
 */
export function writeCode(
  program: Program,
  scalarSlots: readonly string[],
  words: Uint32Array,
  at: number,
  {
    evaluations = evaluationsOf(program),
    totals = { block: 0, places: [] },
  }: {
    readonly evaluations?: number;
    readonly totals?: { readonly block: number; readonly places: readonly number[] } | undefined;
  } = {},
): void {
  const { statics, instructions, uniforms, slots, terms } = codeOf(program);
  const operandOf = (code: OpCode, a: number): number => {
    if (code === "scalarSlot") return wordOf(a);
    return code === "total" ? (totals.places[a] as number) : a;
  };
  const wordOf = (slot: number): number =>
    stateBlock.scalarSlots + 2 * scalarSlots.indexOf(program.scalarSlots[slot] as string);
  words[at + codeBlock.statics] = statics.length;
  words[at + codeBlock.instructions] = instructions.length;
  words[at + codeBlock.uniforms] = uniforms.length;
  words[at + codeBlock.scalarSlots] = slots.length;
  words[at + codeBlock.kinds] = codeBlock.words + 2 * instructions.length + uniforms.length + slots.length;
  words[at + codeBlock.evaluations] = evaluations;
  words[at + codeBlock.totals] = totals.block;
  words[at + codeBlock.terms] = terms.length;
  words[at + codeBlock.termsAt] = termsAt(program);
  words[at + codeBlock.sources] = (words[at + codeBlock.kinds] as number) + program.reductions.length;
  words.set(
    [
      // Absent operands are those that are there: they have the same exponent.
      ...instructions.flatMap(([code, a = 0, b = a, c = b]) => [
        opCodes[code] | (operandOf(code, a) << 16),
        b | (c << 16),
      ]),
      ...uniforms,
      ...slots.map((register, slot) => register | (wordOf(slot) << 16)),
      ...program.reductions.map(reductionCode),
      ...terms,
    ],
    at + codeBlock.words,
  );
}

/** Words of the statics of a program: what `prepare` gets from the host because it depends on hyperparameters alone. */
export function staticWords(program: Program): number {
  return 2 * codeOf(program).statics.length;
}

/**
 * Evaluates the statics in float64 and writes them, as pairs, from word `at` on.
 *
 * @param extents of the parameter, as the rule sees them
 */
export function writeStatics(
  program: Program,
  hyperparameters: HyperparameterRecord,
  words: Float32Array,
  at: number,
  extents?: Extents,
): void {
  const registers = new Float64Array(program.scalars.length);
  const inputs = {
    hyperparameters,
    step: NaN,
    scalarSlots: new Map(),
    sums: [],
    ...(extents && { extents }),
  };
  evaluateScalars(program, inputs, registers);
  for (const [index, item] of codeOf(program).statics.entries()) {
    const value = "constant" in item ? item.constant : (registers[item.register] as number);
    words.set(pair("log" in item && item.log ? logarithmOfSize(value) : value), at + 2 * index);
  }
}

/** ln |x|, and for 0 a number so low that every power of it is 0. */
function logarithmOfSize(x: number): number {
  return Math.max(Math.log(Math.abs(x)), -1e30);
}

/** Writes the uniforms of the record at word `at`, whose scalars the host has evaluated. `registers`: see `evaluateScalars`. */
export function writeUniforms(
  program: Program,
  registers: ArrayLike<number>,
  gradFactor: number,
  clipValue: number,
  words: Float32Array,
  at: number,
): void {
  const rest = restOf(gradFactor);
  words[at + record.factorRest] = rest;
  for (const [index, source] of program.uniforms.entries()) {
    const value =
      source.from === "scalar"
        ? (registers[source.register] as number)
        : source.from === "clipValue"
          ? clipValue
          : gradFactor / rest;
    words[at + record.uniforms + index] = value;
  }
}

/** The power of two that a factor is divided by where an ordinary float32 cannot hold it: as `prepareRecord` has it. */
function restOf(factor: number): number {
  const { exponent } = wide(factor);
  return 2 ** Math.min(exponent - Math.min(Math.max(exponent, -126), 126), 127);
}
