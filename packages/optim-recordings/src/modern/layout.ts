import type { LossClosure, OptimizerFactory } from "@mm/optim-conformance";

/** How a host lays out the recorded tensors, whose outputs are the first dimension. */
export interface Layout {
  /** Elements as the host has them. */
  toHost(name: string, data: Float32Array): Float32Array;
  /** And back. */
  fromHost(name: string, data: Float32Array): Float32Array;
  shapeOf(name: string): readonly number[];
}

/** The shapes are those of the recording. Hosts with outputs last get matrices transposed, a convolution's kernel as its outputs by all else. */
export function layoutFor<P, Loss extends LossClosure, LossValue>(
  { outputs = "first" }: OptimizerFactory<P, Loss, LossValue>,
  shapes: ReadonlyMap<string, readonly number[]>,
): Layout {
  const shapeOf = (name: string): readonly number[] => shapes.get(name) ?? [];
  const turns = (name: string): boolean => outputs === "last" && shapeOf(name).length > 1;
  return {
    shapeOf(name) {
      const [first = 1, ...rest] = shapeOf(name);
      return turns(name) ? [...rest, first] : shapeOf(name);
    },
    toHost: (name, data) => (turns(name) ? transposed(data, shapeOf(name)[0] ?? 1) : data),
    fromHost: (name, data) => (turns(name) ? transposed(data, data.length / (shapeOf(name)[0] ?? 1)) : data),
  };
}

function transposed(data: Float32Array, rows: number): Float32Array {
  const cols = data.length / rows;
  return data.map((_, index) => data[(index % rows) * cols + Math.floor(index / rows)] as number);
}
