import type { StepItem } from "../engine.ts";
import { memo } from "../memo.ts";
import { extentsOf } from "../program/extents.ts";
import { evaluateScalars } from "../program/scalars.ts";
import type { VectorKernels } from "../program/vectors.ts";
import type { Parameter } from "../parameter.ts";
import type { Pass, Program, TensorReduction, UniformSource } from "../program/program.ts";
import { firstMatrix, makingOf } from "../program/scratch.ts";
import type { StepClip } from "./clip.ts";
import { lastBarrier, type Totals, totalsOf } from "./totals.ts";

/** How a step reaches a parameter's own storage. */
export interface ParameterAccess<P, V> {
  /** The parameter as a vector that kernels can write: its own storage, or a private copy that `close` writes back. */
  open(parameter: Parameter<P, V, number>): V;
  /** Brings what was written back, where `open` made a copy. */
  close?(parameter: Parameter<P, V, number>, vector: V): void;
}

/** A program while it runs on a tensor: made once, and overwritten. */
interface Frame<V> {
  readonly registers: Float64Array;
  readonly uniforms: Float32Array;
  readonly sums: Float64Array;
  readonly vectors: V[];
}

/** Whether passes of a program hand vectors on to later ones. */
const handsOn = ({ reductions, matrices }: Program): boolean =>
  matrices.length > 0 || reductions.some(({ per }) => per !== "tensor");

/** The part that all items of a step have in common. */
interface Factors {
  readonly factor: number;
  /** A power of two that gradients are multiplied by first, where the factor alone would be too small for float32: see {@link splitFactor}. */
  readonly before: number;
  readonly clipValue: number;
}

/**
 * Update, where the host decides: scalars in float64, then one kernel call for each tensor and pass. Without `counts` steps and scalar slots
 * stay.
 */
export function hostUpdate<P, V>(
  kernels: VectorKernels<V>,
  access: ParameterAccess<P, V>,
): (
  items: readonly StepItem<P, V, number>[],
  factor: number,
  clipGrad: StepClip | undefined,
  counts?: boolean,
) => void {
  type Item = StepItem<P, V, number>;
  const frames = new WeakMap<Program, Frame<V>>();
  const frameOf = (program: Program): Frame<V> =>
    memo(frames, program, () => ({
      registers: new Float64Array(program.scalars.length),
      uniforms: new Float32Array(program.uniforms.length),
      sums: new Float64Array(program.reductions.length),
      vectors: [],
    }));

  const evaluate = (
    { parameter, program }: Item,
    frame: Frame<V>,
    factors: Factors,
    totals?: Totals,
  ): void => {
    const { group, scalarSlots, view } = parameter;
    const { registers, uniforms, sums } = frame;
    const inputs = {
      hyperparameters: group.values,
      step: parameter.step + 1,
      scalarSlots,
      sums,
      extents: extentsOf(view),
      ...(totals && { totals: totals.of(program) }),
    };
    evaluateScalars(program, inputs, registers);
    for (let index = 0; index < uniforms.length; index += 1) {
      const source = program.uniforms[index] as UniformSource;
      // float32 here, once.
      if (source.from === "scalar") uniforms[index] = registers[source.register] as number;
      else uniforms[index] = source.from === "clipValue" ? factors.clipValue : factors.factor;
    }
  };

  const gather = (
    { parameter: { accumulator, view }, program, slots }: Item,
    { vectors }: Frame<V>,
    param: V,
  ): void => {
    vectors.length = 0;
    vectors.push(param, accumulator as V);
    for (let slot = 0; slot < slots.length; slot += 1) vectors.push(slots[slot] as V);
    if (handsOn(program)) vectors.push(...kernels.scratch(program, view));
    // In the places of reductions per tensor, which have no vector.
    else for (let index = 0; index < program.reductions.length; index += 1) vectors.push(param);
  };

  const run = (item: Item, frame: Frame<V>, pass: Pass): void => {
    const { program, parameter } = item;
    const { vectors, uniforms, sums } = frame;
    if (pass.kind === "reduce" || pass.kind === "update") {
      kernels.run(program, pass, vectors, parameter.view, uniforms, sums);
    } else if (pass.kind === "matrix") {
      const { coefficients } = program.matrices[pass.matrix] as Program["matrices"][number];
      const vector = firstMatrix(program) + pass.matrix;
      kernels.run(program, makingOf(program, pass.matrix), vectors, parameter.view, uniforms, sums);
      kernels.orthogonalize(vectors[vector] as V, parameter.view, coefficients);
    }
    if (pass.kind !== "reduce") return;
    for (const index of pass.reductions) {
      const { kind, per } = program.reductions[index] as TensorReduction;
      if (kind === "norm" && per === "tensor") sums[index] = Math.sqrt(sums[index] as number);
    }
  };

  /** Of tensors that wait for others at a sum over all of them: what was reduced until then. */
  const held = new WeakMap<Parameter<P, V, number>, Float64Array>();

  /** Runs the passes from `from` to before `until`. */
  const advance = (item: Item, from: number, until: number, factors: Factors, totals?: Totals): Frame<V> => {
    const { parameter, program } = item;
    const frame = frameOf(program);
    const before = from > 0 ? held.get(parameter) : undefined;
    if (before === undefined) frame.sums.fill(Number.NaN);
    else frame.sums.set(before);
    const param = access.open(parameter);
    rescale(parameter, factors.before);
    gather(item, frame, param);
    evaluate(item, frame, factors, totals);
    // All tensors share the vectors that passes hand on: others have been there since the last sum.
    for (let index = handsOn(program) ? 0 : from; index < until; index += 1) {
      const pass = program.passes[index] as Pass;
      run(item, frame, pass);
      if (pass.kind === "reduce") evaluate(item, frame, factors, totals);
    }
    frame.vectors.length = 0;
    rescale(parameter, 1 / factors.before);
    if (until === program.passes.length) access.close?.(parameter, param);
    return frame;
  };

  /** Gradients times a power of two, in place. */
  const rescale = ({ accumulator }: Parameter<P, V, number>, scale: number): void => {
    if (scale !== 1) kernels.accumulate(accumulator as V, accumulator as V, scale, true);
  };

  return (items, factor, clipGrad, counts = true) => {
    const clipValue = clipGrad?.type === "value" ? clipGrad.clipValue : 0;
    const factors = { ...splitFactor(factor), clipValue };
    const totals = totalsOf(
      items,
      (item, { from, until, operands }, known: Totals) => {
        const { registers, sums } = advance(item, from, until, factors, known);
        const before = held.get(item.parameter);
        if (before?.length === sums.length) before.set(sums);
        // Another structure has other reductions.
        else held.set(item.parameter, sums.slice());
        return operands.map((register) => registers[register] as number);
      },
      (a, b) => a + b,
    );
    for (const item of items) {
      const { parameter, program } = item;
      const from = totals === undefined ? 0 : lastBarrier(program);
      const { registers } = advance(item, from, program.passes.length, factors, totals);
      if (!counts) continue;
      for (const [index, name] of program.scalarSlots.entries()) {
        parameter.scalarSlots.set(name, registers[program.scalarOutputs[index] as number] as number);
      }
      parameter.step += 1;
    }
  };
}

/**
 * The factor, rounded to float32 once, in two parts. Below 2⁻¹²⁶ float32 has ever fewer digits and then none, where the product with a gradient near
 * 3e38 is an ordinary number: a large loss scale, and a norm that is clipped to little.
 */
function splitFactor(factor: number): Pick<Factors, "factor" | "before"> {
  const size = Math.abs(factor);
  if (!(size < 2 ** -126) || size === 0) return { factor, before: 1 };
  const shift = Math.min(126, Math.ceil(-126 - Math.log2(size)) + 1);
  return { factor: factor * 2 ** shift, before: 2 ** -shift };
}
