// A network of 4 inputs, 8 hidden units (tanh) and one output, with its gradients by hand: small enough to read, with tensors of several sizes.
import type { WasmLoss } from "@mm/optim-wasm";

export const lengths = { w1: 32, b1: 8, w2: 8, b2: 1 };
export type Name = keyof typeof lengths;
export type Parameters = { readonly [K in Name]: Float32Array };

/** Numbers between -1 and 1, the same everywhere. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1;
}

export function fill(parameters: Parameters, seed = 1): void {
  const next = numbers(seed);
  for (const name of Object.keys(lengths) as Name[]) {
    const { length } = parameters[name];
    for (let index = 0; index < length; index += 1) parameters[name][index] = 0.7 * next();
  }
}

export const allocate = (): Parameters => ({
  w1: new Float32Array(lengths.w1),
  b1: new Float32Array(lengths.b1),
  w2: new Float32Array(lengths.w2),
  b2: new Float32Array(lengths.b2),
});

export interface Row {
  readonly x: readonly number[];
  readonly y: number;
}

/** The whole batch of an iteration, over all ranks: of 1 to 9 rows, so that with several ranks some have more than others, or none. */
export function batchOf(iteration: number): readonly Row[] {
  const next = numbers(1000 + iteration);
  return Array.from({ length: 1 + ((iteration * 5) % 9) }, () => {
    const x = [next(), next(), next(), next()];
    return { x, y: Math.sin(3 * (x[0] as number)) + (x[1] as number) * (x[2] as number) };
  });
}

/** Half the mean square error over the rows. */
export function lossOf(parameters: Parameters, rows: readonly Row[]): WasmLoss<Name> {
  return ({ grad, scale }) => {
    const { w1, b1, w2, b2 } = parameters;
    const [gw1, gb1, gw2, gb2] = [grad("w1"), grad("b1"), grad("w2"), grad("b2")];
    let loss = 0;
    for (const { x, y } of rows) {
      const hidden = Array.from({ length: 8 }, (_, j) =>
        Math.tanh(x.reduce((sum, value, i) => sum + value * (w1[8 * i + j] as number), b1[j] as number)),
      );
      const error = hidden.reduce((sum, value, j) => sum + value * (w2[j] as number), b2[0] as number) - y;
      loss += error ** 2 / 2 / rows.length;
      const out = (scale * error) / rows.length;
      (gb2[0] as number) += out;
      for (const [j, value] of hidden.entries()) {
        (gw2[j] as number) += out * value;
        const back = out * (w2[j] as number) * (1 - value ** 2);
        (gb1[j] as number) += back;
        for (const [i, input] of x.entries()) (gw1[8 * i + j] as number) += back * input;
      }
    }
    return loss;
  };
}
