import type { Coefficients } from "../../rule/expression.ts";
import type { Extents } from "./extents.ts";

/**
 * The reference of the Newton–Schulz steps of `orthogonalize`, in place, with its bits. For each (a, b, c): A = XXᵀ,
 * B = fround(fround(b·A) + fround(c·(A·A))), X = fround(fround(a·X) + B·X). Every product and sum is rounded to float32, and a sum runs upwards
 * from 0. A matrix with more rows than columns is transposed meanwhile.
 */
export function orthogonalizeArray(
  matrix: Float32Array,
  { rows, cols }: Extents,
  coefficients: readonly Coefficients[],
): void {
  const tall = rows > cols;
  const [m, n] = tall ? [cols, rows] : [rows, cols];
  let x = tall ? transposed(matrix, rows, cols) : matrix;
  const { fround } = Math;
  for (const triple of coefficients) {
    const [a, b, c] = triple.map(fround) as [number, number, number];
    const gram = product(x, transposed(x, m, n), m, n, m);
    const square = product(gram, gram, m, m, m);
    const both = square.map((element, i) => fround(b * (gram[i] as number)) + fround(c * element));
    const change = product(both, x, m, m, n);
    x = change.map((element, i) => fround(a * (x[i] as number)) + element);
  }
  matrix.set(tall ? transposed(x, m, n) : x);
}

function transposed(x: Float32Array, rows: number, cols: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i += 1)
    for (let j = 0; j < cols; j += 1) out[j * rows + i] = x[i * cols + j] as number;
  return out;
}

/** Of an m × k and a k × n matrix, row by row, so that what is read lies side by side. Every sum still runs upwards from 0. */
function product(x: Float32Array, y: Float32Array, m: number, k: number, n: number): Float32Array {
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i += 1) {
    const row = out.subarray(i * n, (i + 1) * n);
    for (let at = 0; at < k; at += 1) {
      const factor = x[i * k + at] as number;
      const from = y.subarray(at * n, (at + 1) * n);
      for (let j = 0; j < n; j += 1) row[j] = (row[j] as number) + Math.fround(factor * (from[j] as number));
    }
  }
  return out;
}
