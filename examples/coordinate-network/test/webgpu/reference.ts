// The network once more, in plain loops over float64: what the kernels have to give.

/** Everything as the kernels take it: points `[2, count]`, wanted `[3, count]`, weights `[inputs, outputs]`. */
export interface Given {
  readonly frequencies: ArrayLike<number>;
  readonly parameters: Readonly<Record<string, ArrayLike<number>>>;
  readonly points: ArrayLike<number>;
  readonly wanted: ArrayLike<number>;
}

interface Layer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly outputs: number;
}

const layersOf = ({ parameters }: Given): Layer[] =>
  [1, 2, 3].map((layer) => {
    const bias = parameters[`bias${layer}`]!;
    return { weight: parameters[`weight${layer}`]!, bias, outputs: bias.length };
  });

/** Features, both hidden layers, colours: one array of rows each. */
function activations(given: Given): number[][][] {
  const rows = given.points.length / 2;
  const count = given.frequencies.length / 2;
  let x = Array.from({ length: rows }, (_, row) => {
    const phases = Array.from(
      { length: count },
      (_, k) =>
        2 *
        Math.PI *
        (given.frequencies[2 * k]! * given.points[row]! +
          given.frequencies[2 * k + 1]! * given.points[rows + row]!),
    );
    return [...phases.map(Math.sin), ...phases.map(Math.cos)];
  });
  const all = [x];
  layersOf(given).forEach(({ weight, bias, outputs }, layer) => {
    x = x.map((row) =>
      Array.from({ length: outputs }, (_, column) => {
        const sum = row.reduce((sum, value, i) => sum + value * weight[i * outputs + column]!, bias[column]!);
        return layer < 2 ? Math.max(0, sum) : sum;
      }),
    );
    all.push(x);
  });
  return all;
}

/** `[3, count]` */
export function colours(given: Given): number[] {
  const rows = activations(given).at(-1)!;
  return [0, 1, 2].flatMap((channel) => rows.map((row) => row[channel]!));
}

export function loss(given: Given): number {
  const got = colours(given);
  return got.reduce((sum, value, i) => sum + (value - given.wanted[i]!) ** 2, 0) / got.length;
}

/** d loss ÷ d parameter, by the chain rule, layer by layer from the last. */
export function gradients(given: Given): Record<string, number[]> {
  const x = activations(given);
  const layers = layersOf(given);
  const count = given.wanted.length;
  const rows = count / 3;
  const result: Record<string, number[]> = {};
  let dy = x[3]!.map((row, r) => row.map((value, c) => (2 * (value - given.wanted[c * rows + r]!)) / count));
  for (let layer = 2; layer >= 0; layer -= 1) {
    const { weight, outputs } = layers[layer]!;
    const input = x[layer]!;
    const dW = Array.from(weight, () => 0);
    const db = Array.from({ length: outputs }, () => 0);
    input.forEach((row, r) =>
      dy[r]!.forEach((d, c) => {
        db[c]! += d;
        row.forEach((value, i) => (dW[i * outputs + c]! += value * d));
      }),
    );
    dy = input.map((row, r) =>
      row.map((value, i) =>
        value > 0 ? dy[r]!.reduce((sum, d, c) => sum + d * weight[i * outputs + c]!, 0) : 0,
      ),
    );
    result[`weight${layer + 1}`] = dW;
    result[`bias${layer + 1}`] = db;
  }
  return result;
}
