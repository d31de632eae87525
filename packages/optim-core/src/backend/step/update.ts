import type { ClipGrad } from "../../options.ts";
import type { StepItem } from "../engine.ts";
import { memo } from "../memo.ts";
import { evaluateScalars } from "../program/scalars.ts";
import type { VectorKernels } from "../program/vectors.ts";
import type { Parameter } from "../parameter.ts";
import type { Program, UniformSource } from "../program/program.ts";

/** How a step reaches a parameter's own storage. */
export interface ParameterAccess<P, V> {
  /** The parameter as a vector that kernels can write: its own storage, or a private copy that `close` writes back. */
  open(parameter: Parameter<P, V, number>): V;
  /** Brings what was written back, where `open` made a copy. */
  close?(parameter: Parameter<P, V, number>, vector: V): void;
}

/** What a program is evaluated into: made once, and overwritten. */
interface Scratch {
  readonly registers: Float64Array;
  readonly uniforms: Float32Array;
  readonly norms: Float64Array;
}

/**
 * Update, where the host decides: scalars in float64, then one kernel call per tensor (two for rules with norms). Without `counts` steps and
 * scalar slots stay.
 */
export function hostUpdate<P, V>(
  kernels: VectorKernels<V>,
  access: ParameterAccess<P, V>,
): (
  items: readonly StepItem<P, V, number>[],
  factor: number,
  clipGrad: ClipGrad | undefined,
  counts?: boolean,
) => void {
  const scratch = new WeakMap<Program, Scratch>();
  return (items, factor, clipGrad, counts = true) => {
    const clipValue = clipGrad?.type === "value" ? clipGrad.clipValue : 0;
    for (const { parameter, program, slots } of items) {
      const { registers, uniforms, norms } = memo(scratch, program, () => ({
        registers: new Float64Array(program.scalars.length),
        uniforms: new Float32Array(program.uniforms.length),
        norms: new Float64Array(program.norms.length),
      }));
      const { group, scalarSlots, accumulator } = parameter;
      const inputs = { hyperparameters: group.values, step: parameter.step + 1, scalarSlots, norms };
      const grad = accumulator as V;
      /** float32 here, once. */
      const evaluate = (): void => {
        evaluateScalars(program, inputs, registers);
        for (let index = 0; index < uniforms.length; index += 1) {
          const source = program.uniforms[index] as UniformSource;
          if (source.from === "scalar") uniforms[index] = registers[source.register] as number;
          else uniforms[index] = source.from === "clipValue" ? clipValue : factor;
        }
      };
      norms.fill(Number.NaN);
      evaluate();
      const param = access.open(parameter);
      if (norms.length > 0) {
        kernels.norms(program, param, grad, slots, uniforms, norms);
        for (const [index, sum] of norms.entries()) norms[index] = Math.sqrt(sum);
        evaluate();
      }
      kernels.update(program, param, grad, slots, uniforms);
      access.close?.(parameter, param);
      if (!counts) continue;
      for (const [index, name] of program.scalarSlots.entries()) {
        scalarSlots.set(name, registers[program.scalarOutputs[index] as number] as number);
      }
      parameter.step += 1;
    }
  };
}
