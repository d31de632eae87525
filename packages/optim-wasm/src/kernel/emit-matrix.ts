import { assemble, f32, FunctionWriter, i32, v128 } from "./assembler.ts";
import * as op from "./opcodes.ts";

/** Columns that a product computes at a time, and the number that all sides of matrices are padded with zeros to a multiple of. */
export const panelWidth = 8;

/** Rows that a product computes at a time: with the columns of a panel, as many sums as there are registers for. */
const panelRows = 4;

/** A value of a matrix product: Σ, p·C + q·Σ or p·C + Σ, C being what was there. */
type Result = "sum" | "both" | "first";

/**
 * The module of matrix products. Strides are in bytes.
 *
 * - `sum`, `both`, `first` (row of A, its stride, packed panel of B, first element of C, its stride, the end of A's rows, k, p, q): eight
 *   columns of a product, four rows a turn, sums running upwards from 0.
 * - `packRows`, `packTransposed` (from, its stride, panel, its end): eight columns, or eight rows turned, side by side.
 * - `copy` (from, its strides of rows and columns, to, its strides, rows, columns, factor)
 * - `mirror` (C, its stride, its side): what is below the diagonal, above it.
 */
export function emitMatrix(sharedMemory: boolean): Uint8Array {
  return assemble(
    {
      sum: panel("sum"),
      both: panel("both"),
      first: panel("first"),
      packRows: packRows(),
      packTransposed: packTransposed(),
      copy: copy(),
      mirror: mirror(),
    },
    sharedMemory,
  );
}

const add = (code: FunctionWriter, to: number, bytes: number): FunctionWriter =>
  code.get(to).int(bytes).op(op.i32Add).set(to);
const addLocal = (code: FunctionWriter, to: number, bytes: number): FunctionWriter =>
  code.get(to, bytes).op(op.i32Add).set(to);

function panel(result: Result): FunctionWriter {
  const code = new FunctionWriter([i32, i32, i32, i32, i32, i32, i32, f32, f32], []);
  const [a, aStride, b, c, cStride, aEnd, k, p, q] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const sums = Array.from({ length: 2 * panelRows }, () => code.local(v128));
  const rows = Array.from({ length: panelRows }, () => code.local(i32));
  const [low, high, element, both, onlySum] = [v128, v128, v128, v128, v128].map((type) =>
    code.local(type),
  ) as [number, number, number, number, number];
  const [kEnd, from] = [code.local(i32), code.local(i32)];
  const [first] = rows as [number];
  code.get(p).op(op.f32x4Splat).set(both).get(q).op(op.f32x4Splat).set(onlySum);
  code.whileBelow(a, aEnd, () => {
    code.get(a).set(first);
    for (const [index, row] of rows.entries())
      if (index > 0)
        code
          .get(rows[index - 1] as number, aStride)
          .op(op.i32Add)
          .set(row);
    for (const sum of sums) code.splat(0).set(sum);
    code.get(b).set(from);
    code.get(a, k).int(2).op(op.i32Shl).op(op.i32Add).set(kEnd);
    code.whileBelow(first, kEnd, () => {
      for (let turn = 0; turn < 4; turn += 1) {
        code
          .get(from)
          .access(op.v128Load, 32 * turn)
          .set(low);
        code
          .get(from)
          .access(op.v128Load, 32 * turn + 16)
          .set(high);
        for (const [index, row] of rows.entries()) {
          code
            .get(row)
            .access(op.v128Load32Splat, 4 * turn)
            .set(element);
          for (const [half, columns] of [low, high].entries()) {
            const sum = sums[2 * index + half] as number;
            code.get(sum, element, columns).op(op.f32x4Mul).op(op.f32x4Add).set(sum);
          }
        }
      }
      add(code, from, 128);
      for (const row of rows) add(code, row, 16);
    });
    for (const index of rows.keys()) {
      for (const half of [0, 1]) {
        const sum = sums[2 * index + half] as number;
        code.get(c);
        if (result === "sum") code.get(sum);
        else {
          code
            .get(c)
            .access(op.v128Load, 16 * half)
            .get(both)
            .op(op.f32x4Mul)
            .get(sum);
          if (result === "both") code.get(onlySum).op(op.f32x4Mul);
          code.op(op.f32x4Add);
        }
        code.access(op.v128Store, 16 * half);
      }
      addLocal(code, c, cStride);
    }
    code.get(aStride).int(2).op(op.i32Shl).get(a).op(op.i32Add).set(a);
  });
  return code;
}

function packRows(): FunctionWriter {
  const code = new FunctionWriter([i32, i32, i32, i32], []);
  const [from, stride, to, end] = [0, 1, 2, 3];
  code.whileBelow(to, end, () => {
    for (const half of [0, 16]) code.get(to, from).access(op.v128Load, half).access(op.v128Store, half);
    addLocal(code, from, stride);
    add(code, to, 4 * panelWidth);
  });
  return code;
}

function packTransposed(): FunctionWriter {
  const code = new FunctionWriter([i32, i32, i32, i32], []);
  const [from, stride, to, end] = [0, 1, 2, 3];
  const rows = Array.from({ length: panelWidth }, () => code.local(i32));
  for (const [index, row] of rows.entries()) {
    if (index === 0) code.get(from).set(row);
    else
      code
        .get(rows[index - 1] as number, stride)
        .op(op.i32Add)
        .set(row);
  }
  code.whileBelow(to, end, () => {
    for (const [index, row] of rows.entries())
      code
        .get(to, row)
        .access(op.f32Load, 0)
        .access(op.f32Store, 4 * index);
    for (const row of rows) add(code, row, 4);
    add(code, to, 4 * panelWidth);
  });
  return code;
}

function copy(): FunctionWriter {
  const code = new FunctionWriter([i32, i32, i32, i32, i32, i32, i32, i32, f32], []);
  const [from, fromRows, fromColumns, to, toRows, toColumns, rows, columns, factor] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8,
  ];
  const [row, column, read, written] = [code.local(i32), code.local(i32), code.local(i32), code.local(i32)];
  code.whileBelow(row, rows, () => {
    code.get(from).set(read).get(to).set(written).int(0).set(column);
    code.whileBelow(column, columns, () => {
      code.get(written, read).access(op.f32Load, 0).get(factor).op(op.f32Mul).access(op.f32Store, 0);
      addLocal(code, read, fromColumns);
      addLocal(code, written, toColumns);
      add(code, column, 1);
    });
    addLocal(code, from, fromRows);
    addLocal(code, to, toRows);
    add(code, row, 1);
  });
  return code;
}

function mirror(): FunctionWriter {
  const code = new FunctionWriter([i32, i32, i32], []);
  const [from, stride, side] = [0, 1, 2];
  const [row, column, below, above] = [code.local(i32), code.local(i32), code.local(i32), code.local(i32)];
  // `from` is on the diagonal: below it are those of its column, beside it those of its row.
  code.whileBelow(row, side, () => {
    code.get(from).set(below).get(from).set(above).get(row).set(column);
    code.whileBelow(column, side, () => {
      code.get(above, below).access(op.f32Load, 0).access(op.f32Store, 0);
      addLocal(code, below, stride);
      add(code, above, 4);
      add(code, column, 1);
    });
    addLocal(code, from, stride);
    add(code, from, 4);
    add(code, row, 1);
  });
  return code;
}
