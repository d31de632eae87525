import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import type { TensorInfo, TransposeAttrs } from "@tensorflow/tfjs-core";
import { elementsOf } from "./heap.ts";

/** A transposition of float32 by loops over the heap, some 0.8 ns an element. */
export function transpose(
  backend: BackendWasm,
  { x }: { readonly x: TensorInfo },
  { perm }: TransposeAttrs,
): TensorInfo | undefined {
  if (x.dtype !== "float32" || perm.every((from, to) => from === to)) return undefined;
  const axes = axesOf(x.shape, perm);
  if (axes === undefined) return undefined;
  const result = backend.makeOutput(
    perm.map((axis) => x.shape[axis]!),
    "float32",
  );
  move(elementsOf(backend, x), elementsOf(backend, result), axes);
  return result;
}

/** The last two axes, exchanged. */
export function transposeMatrices(backend: BackendWasm, x: TensorInfo): TensorInfo {
  const rank = x.shape.length;
  const perm = x.shape.map((_, axis) => axis);
  perm.splice(rank - 2, 2, rank - 1, rank - 2);
  // Only the leading axes of a product could be too many, and they stay together.
  return transpose(backend, { x }, { perm })!;
}

/** Four axes of the result, the last innermost: how long each is, and how far apart its neighbours are in the source. */
type Axes = readonly { readonly length: number; readonly stride: number }[];

/** @returns `undefined` where there are more than four. Axes that stay neighbours are one. */
function axesOf(shape: readonly number[], perm: readonly number[]): Axes | undefined {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((size, length) => size * length, 1));
  const axes: { length: number; stride: number }[] = [];
  for (const axis of perm) {
    const [length, stride] = [shape[axis]!, strides[axis]!];
    const before = axes.at(-1);
    if (before?.stride === stride * length) Object.assign(before, { length: before.length * length, stride });
    else axes.push({ length, stride });
  }
  while (axes.length < 4) axes.unshift({ length: 1, stride: 0 });
  return axes.length === 4 ? axes : undefined;
}

function move(source: Float32Array, result: Float32Array, axes: Axes): void {
  const [a, b, c, d] = axes as readonly [Axes[0], Axes[0], Axes[0], Axes[0]] & Axes;
  const size = c.length * d.length;
  for (let i = 0, to = 0; i < a.length; i++) {
    for (let j = 0; j < b.length; j++, to += size) {
      const from = i * a.stride + j * b.stride;
      if (c.stride === 1) moveInStrips(source, result, from, to, c.length, d.length, d.stride);
      else moveRows(source, result, from, to, c, d);
    }
  }
}

/** Row by row of the result. */
function moveRows(
  source: Float32Array,
  result: Float32Array,
  from: number,
  to: number,
  rows: Axes[0],
  columns: Axes[0],
): void {
  for (let row = 0; row < rows.length; row++) {
    let at = from + row * rows.stride;
    for (let column = 0; column < columns.length; column++, at += columns.stride) result[to++] = source[at]!;
  }
}

/** Eight columns by sixteen rows of the result at a time: what is read and written stays in the cache's lines. */
function moveInStrips(
  source: Float32Array,
  result: Float32Array,
  from: number,
  to: number,
  rows: number,
  columns: number,
  stride: number,
): void {
  const whole = columns - (columns % 8);
  for (let first = 0; first < rows; first += 16) {
    const end = Math.min(first + 16, rows);
    for (let column = 0; column < whole; column += 8) {
      for (let row = first; row < end; row++) {
        let at = from + row + column * stride;
        const place = to + row * columns + column;
        result[place] = source[at]!;
        result[place + 1] = source[(at += stride)]!;
        result[place + 2] = source[(at += stride)]!;
        result[place + 3] = source[(at += stride)]!;
        result[place + 4] = source[(at += stride)]!;
        result[place + 5] = source[(at += stride)]!;
        result[place + 6] = source[(at += stride)]!;
        result[place + 7] = source[(at += stride)]!;
      }
    }
    for (let row = first; row < end; row++) {
      for (let column = whole; column < columns; column++)
        result[to + row * columns + column] = source[from + row + column * stride]!;
    }
  }
}
