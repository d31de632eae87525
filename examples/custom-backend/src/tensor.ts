// The library that gets an optimizer, as small as one can be: tensors of numbers that remember what they were computed from.

/** The tensors that a result was computed from, and the gradient of the result for each of these. */
interface Origin {
  readonly inputs: readonly Tensor[];
  readonly pull: (gradient: readonly number[]) => readonly (readonly number[])[];
}

/** A scalar, a vector or a matrix. Its numbers may be changed in place. */
export class Tensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: number[];
  readonly origin: Origin | undefined;

  constructor(values: Iterable<number>, shape: readonly number[], origin?: Origin) {
    this.values = [...values];
    this.shape = shape;
    this.origin = origin;
  }
}

/** The sum; a vector is added to each row of a matrix. */
export function add(a: Tensor, b: Tensor): Tensor {
  const { length } = b.values;
  return new Tensor(
    a.values.map((x, i) => x + (b.values[i % length] as number)),
    a.shape,
    {
      inputs: [a, b],
      pull: (gradient) => [
        gradient,
        length === gradient.length
          ? gradient
          : b.values.map((_, column) => sumOf(gradient.filter((_, i) => i % length === column))),
      ],
    },
  );
}

/** The product, element by element. */
export function multiply(a: Tensor, b: Tensor): Tensor {
  const times = (x: readonly number[], y: readonly number[]): number[] =>
    x.map((value, i) => value * (y[i] as number));
  return new Tensor(times(a.values, b.values), a.shape, {
    inputs: [a, b],
    pull: (gradient) => [times(b.values, gradient), times(a.values, gradient)],
  });
}

/** The product of two matrices. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  const [rows = 0, inner = 0] = a.shape;
  const [, columns = 0] = b.shape;
  return new Tensor(product(a.values, b.values, [rows, inner, columns]), [rows, columns], {
    inputs: [a, b],
    pull: (gradient) => [
      product(gradient, transposed(b.values, columns), [rows, columns, inner]),
      product(transposed(a.values, inner), gradient, [inner, rows, columns]),
    ],
  });
}

export function tanh(a: Tensor): Tensor {
  const values = a.values.map(Math.tanh);
  return new Tensor(values, a.shape, {
    inputs: [a],
    pull: (gradient) => [gradient.map((g, i) => g * (1 - (values[i] as number) ** 2))],
  });
}

/** The logarithms of probabilities that are proportional to the exponentials of a row. */
export function logSoftmax(a: Tensor): Tensor {
  const [, columns = 1] = a.shape;
  const perRow = (
    values: readonly number[],
    row: (values: readonly number[], start: number) => number[],
  ): number[] => values.flatMap((_, i) => (i % columns === 0 ? row(values.slice(i, i + columns), i) : []));
  const values = perRow(a.values, (row) => {
    const most = Math.max(...row);
    const total = most + Math.log(sumOf(row.map((x) => Math.exp(x - most))));
    return row.map((x) => x - total);
  });
  return new Tensor(values, a.shape, {
    inputs: [a],
    pull: (gradient) => [
      perRow(gradient, (row, start) =>
        row.map((g, i) => g - Math.exp(values[start + i] as number) * sumOf(row)),
      ),
    ],
  });
}

/** The sum of all elements, as a scalar. */
export function sum(a: Tensor): Tensor {
  return new Tensor([sumOf(a.values)], [], {
    inputs: [a],
    pull: ([gradient = 0]) => [a.values.map(() => gradient)],
  });
}

/** The gradients of `seed` × a scalar with respect to all that it was computed from. */
export function gradientsOf(scalar: Tensor, seed: number): ReadonlyMap<Tensor, readonly number[]> {
  const gradients = new Map<Tensor, readonly number[]>([[scalar, [seed]]]);
  for (const tensor of inOrder(scalar).reverse()) {
    const { inputs, pull } = tensor.origin ?? { inputs: [], pull: () => [] };
    for (const [index, gradient] of pull(gradients.get(tensor) ?? []).entries()) {
      const input = inputs[index] as Tensor;
      const before = gradients.get(input);
      gradients.set(input, before ? gradient.map((g, i) => g + (before[i] as number)) : gradient);
    }
  }
  return gradients;
}

/** A tensor and all that it was computed from, each after its own inputs. */
function inOrder(tensor: Tensor, seen: Set<Tensor> = new Set()): Tensor[] {
  if (seen.has(tensor)) return [];
  seen.add(tensor);
  return [...(tensor.origin?.inputs ?? []).flatMap((input) => inOrder(input, seen)), tensor];
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((total, x) => total + x, 0);

const transposed = (values: readonly number[], columns: number): number[] =>
  Array.from({ length: columns }, (_, column) => values.filter((_, i) => i % columns === column)).flat();

function product(
  a: readonly number[],
  b: readonly number[],
  [rows, inner, columns]: readonly [number, number, number],
): number[] {
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let total = 0;
    for (let k = 0; k < inner; k += 1)
      total += (a[row * inner + k] as number) * (b[k * columns + column] as number);
    return total;
  });
}
