import type { Extents } from "@mm/optim-core/backend";
import type { Coefficients } from "@mm/optim-core/rule";
import { panelWidth } from "./emit-matrix.ts";
import type { Vector } from "./vector.ts";
import type { WasmMemory } from "./webassembly.ts";
import { matrixLayout } from "./workspace.ts";

type Product = (
  a: number,
  aStride: number,
  panel: number,
  c: number,
  cStride: number,
  aEnd: number,
  k: number,
  p: number,
  q: number,
) => void;
type Pack = (from: number, stride: number, to: number, end: number) => void;

/** See `emitMatrix`. */
export interface MatrixExports {
  readonly sum: Product;
  readonly both: Product;
  readonly first: Product;
  readonly packRows: Pack;
  readonly packTransposed: Pack;
  readonly copy: (
    from: number,
    fromRows: number,
    fromColumns: number,
    to: number,
    toRows: number,
    toColumns: number,
    rows: number,
    columns: number,
    factor: number,
  ) => void;
  readonly mirror: (at: number, stride: number, side: number) => void;
}

/**
 * The Newton–Schulz steps of `orthogonalize` of the rule language, in place: equal to the reference to the bit. XXᵀ and its square are symmetric to the bit, so half of them
 * is computed.
 *
 * @param room address of as much as `matrixLayout` says
 */
export function orthogonalize(
  kernels: MatrixExports,
  memory: WasmMemory,
  room: number,
  { pointer }: Vector,
  extents: Extents,
  coefficients: readonly Coefficients[],
): void {
  const { rows, cols } = extents;
  const { m, n, height, width, ...at } = matrixLayout(extents);
  if (m === 0) return;
  const floats = new Float32Array(memory.buffer);
  let [x, next] = [room, room + at.next];
  const [gram, both, panel] = [room + at.gram, room + at.both, room + at.panel];
  const [long, short] = [4 * width, 4 * height];
  /** Strides of the caller's matrix, along what are rows and columns here. */
  const [along, across] = rows <= cols ? [4 * n, 4] : [4, 4 * m];
  floats.fill(0, x / 4, x / 4 + height * width);
  kernels.copy(pointer, along, across, x, long, 4, m, n, 1);
  for (const [a, b, c] of coefficients) {
    for (let column = 0; column < height; column += panelWidth) {
      const first = x + column * long;
      kernels.packTransposed(first, long, panel, panel + 4 * panelWidth * width);
      kernels.sum(
        first,
        long,
        panel,
        gram + column * short + 4 * column,
        short,
        x + height * long,
        width,
        0,
        0,
      );
    }
    kernels.mirror(gram, short, height);
    floats.copyWithin(both / 4, gram / 4, gram / 4 + height * height);
    for (let column = 0; column < height; column += panelWidth) {
      const first = gram + column * short;
      kernels.packRows(gram + 4 * column, short, panel, panel + 4 * panelWidth * height);
      kernels.both(
        first,
        short,
        panel,
        both + column * short + 4 * column,
        short,
        gram + height * short,
        height,
        b,
        c,
      );
    }
    kernels.mirror(both, short, height);
    floats.copyWithin(next / 4, x / 4, x / 4 + height * width);
    for (let column = 0; column < width; column += panelWidth) {
      kernels.packRows(x + 4 * column, long, panel, panel + 4 * panelWidth * height);
      kernels.first(both, short, panel, next + 4 * column, long, both + height * short, height, a, 0);
    }
    [x, next] = [next, x];
  }
  kernels.copy(x, long, 4, pointer, along, across, m, n, 1);
}
