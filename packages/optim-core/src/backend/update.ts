import type { ClipGrad } from "../optimizer.ts";
import type { StepItem } from "./engine.ts";
import { memo } from "./memo.ts";
import type { Parameter } from "./parameters.ts";
import { evaluateScalars, fillUniforms } from "./scalars.ts";
import type { Program } from "./trace.ts";
import type { VectorKernels } from "./vectors.ts";

/** How a step reaches a parameter's own storage. */
export interface ParameterAccess<P, V> {
  /** The parameter as a vector that kernels can write: its own storage, or a private copy that `close` writes back. */
  open(parameter: Parameter<P, V, number>): V;
  /** Brings what was written back, where `open` made a copy. */
  close?(parameter: Parameter<P, V, number>, vector: V): void;
}

interface Scratch {
  readonly registers: Float64Array;
  readonly uniforms: Float32Array;
  readonly sums: Float64Array;
  readonly norms: number[];
}

/** Update, where the host decides: scalars in float64, then one kernel call per tensor (two for rules with norms). */
export class HostUpdate<P, V> {
  readonly #kernels: VectorKernels<V>;
  readonly #access: ParameterAccess<P, V>;
  readonly #scratch = new WeakMap<Program, Scratch>();

  constructor(kernels: VectorKernels<V>, access: ParameterAccess<P, V>) {
    this.#kernels = kernels;
    this.#access = access;
  }

  run(items: readonly StepItem<P, V, number>[], factor: number, clipGrad: ClipGrad | undefined): void {
    const gradient = { factor, clipValue: clipGrad?.type === "value" ? clipGrad.clipValue : 0 };
    for (const item of items) this.#update(item, gradient);
  }

  #update(
    { parameter, program, slots }: StepItem<P, V, number>,
    gradient: { factor: number; clipValue: number },
  ): void {
    const { registers, uniforms, norms, sums } = memo(this.#scratch, program, () => makeScratch(program));
    const step = parameter.step + 1;
    const inputs = {
      hyperparameters: parameter.group.values,
      step,
      scalarSlots: parameter.scalarSlots,
      norms,
    };
    const grad = parameter.accumulator as V;
    norms.length = 0;
    evaluateScalars(program, inputs, registers);
    fillUniforms(program, registers, gradient, uniforms);
    const param = this.#access.open(parameter);
    if (program.norms.length > 0) {
      this.#kernels.norms(program, param, grad, slots, uniforms, sums);
      for (const sum of sums) norms.push(Math.sqrt(sum));
      evaluateScalars(program, inputs, registers);
      fillUniforms(program, registers, gradient, uniforms);
    }
    this.#kernels.update(program, param, grad, slots, uniforms);
    this.#access.close?.(parameter, param);
    for (const [index, name] of program.scalarSlots.entries()) {
      parameter.scalarSlots.set(name, registers[program.scalarOutputs[index] as number] as number);
    }
    parameter.step = step;
  }
}

function makeScratch(program: Program): Scratch {
  return {
    registers: new Float64Array(program.scalars.length),
    uniforms: new Float32Array(program.uniforms.length),
    sums: new Float64Array(program.norms.length),
    norms: [],
  };
}
