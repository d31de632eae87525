import type { HyperparameterRecord } from "@mm/optim-core";
import { evaluateScalars, type Program, type ScalarInstruction } from "@mm/optim-core/backend";
import { pair } from "./layout.ts";

/** A value that `prepare` gets from the host: a register, or the logarithm of its size. */
interface Static {
  readonly register: number;
  readonly log: boolean;
}

/** The operands of an instruction, as registers. */
export function operandsOf(instruction: ScalarInstruction): readonly number[] {
  if ("condition" in instruction) return [instruction.condition, instruction.a, instruction.b];
  if ("b" in instruction) return [instruction.a, instruction.b];
  return "a" in instruction ? [instruction.a] : [];
}

/** The registers that uniforms and scalar slots need, in order of evaluation, as far as `isRoot` wants them. */
export function neededRegisters(
  program: Program,
  isRoot: (register: number) => boolean = () => true,
): readonly number[] {
  const roots = [
    ...program.uniforms.flatMap((source) => (source.from === "scalar" ? [source.register] : [])),
    ...program.scalarOutputs,
  ].filter(isRoot);
  const needed = new Set(roots);
  for (let index = program.scalars.length - 1; index >= 0; index -= 1) {
    const instruction = program.scalars[index] as ScalarInstruction;
    // Of what depends on hyperparameters alone the host sends the result.
    if (needed.has(index) && instruction.dynamic)
      for (const operand of operandsOf(instruction)) needed.add(operand);
  }
  return [...needed].sort((a, b) => a - b);
}

/**
 * The statics of a program, in the order in which the table holds them, as pairs: what the dynamic part needs and depends on
 * hyperparameters alone. Of what is raised to a power, the logarithm too.
 */
export function staticsOf(program: Program): readonly Static[] {
  const needed = neededRegisters(program);
  const fromHost = ({ op, dynamic }: ScalarInstruction): boolean => !dynamic && op !== "const";
  const at = (register: number): ScalarInstruction => program.scalars[register] as ScalarInstruction;
  const bases = needed
    .map(at)
    .flatMap((it) => (it.dynamic && (it.op === "pow" || it.op === "biasCorrection") ? [it.a] : []));
  return [
    ...needed.filter((register) => fromHost(at(register))).map((register) => ({ register, log: false })),
    ...[...new Set(bases)]
      .filter((register) => fromHost(at(register)))
      .map((register) => ({ register, log: true })),
  ];
}

/** ln |x|, and for 0 a number so low that every power of it is 0. */
export function logarithmOfSize(x: number): number {
  return Math.max(Math.log(Math.abs(x)), -1e30);
}

/** Words of the statics of a program: what `prepare` gets from the host because it depends on hyperparameters alone. */
export function staticWords(program: Program): number {
  return 2 * staticsOf(program).length;
}

/** Evaluates the statics in float64 and writes them, as pairs, from word `at` on. */
export function writeStatics(
  program: Program,
  hyperparameters: HyperparameterRecord,
  words: Float32Array,
  at: number,
): void {
  const registers = new Float64Array(program.scalars.length);
  evaluateScalars(program, { hyperparameters, step: NaN, scalarSlots: new Map(), norms: [] }, registers);
  for (const [index, { register, log }] of staticsOf(program).entries()) {
    const value = registers[register] as number;
    words.set(pair(log ? logarithmOfSize(value) : value), at + 2 * index);
  }
}

/** Writes the uniforms of a record whose scalars the host has evaluated, from word `at` on. `registers`: see `evaluateScalars`. */
export function writeUniforms(
  program: Program,
  registers: ArrayLike<number>,
  gradFactor: number,
  clipValue: number,
  words: Float32Array,
  at: number,
): void {
  for (const [index, source] of program.uniforms.entries()) {
    if (source.from === "scalar") words[at + index] = registers[source.register] as number;
    else words[at + index] = source.from === "clipValue" ? clipValue : gradFactor;
  }
}
