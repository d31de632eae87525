import type { Axes, Per } from "../../rule/expression.ts";

/** How a host lays out a tensor whose outputs (of a dense layer, of a convolution) are its last dimension. */
export type Outputs = "first" | "last";

/** A tensor as a matrix, as it lies in memory. */
export interface Extents {
  readonly rows: number;
  readonly cols: number;
}

/** The same with respect to how a rule sees it. */
export interface MatrixView extends Extents {
  /** Whether it has two dimensions or more. A tensor of fewer is one row. */
  readonly matrix: boolean;
  /** Whether the rule's rows, which are the outputs, are the columns of memory. */
  readonly transposed: boolean;
}

/** Rows and columns of a shape: its outputs by all else. */
export function matrixViewOf(shape: readonly number[], outputs: Outputs = "first"): MatrixView {
  const count = (sides: readonly number[]): number => sides.reduce((product, side) => product * side, 1);
  const matrix = shape.length > 1;
  if (!matrix) return { matrix, transposed: false, rows: 1, cols: count(shape) };
  const at = outputs === "last" ? shape.length - 1 : 1;
  return {
    matrix,
    transposed: outputs === "last",
    rows: count(shape.slice(0, at)),
    cols: count(shape.slice(at)),
  };
}

/** Rows and columns as a rule sees them. */
export function extentsOf(view: Pick<MatrixView, "rows" | "cols" | "transposed">): Extents {
  return view.transposed ? { rows: view.cols, cols: view.rows } : view;
}

/** The elements of what differs along these axes. */
export function lengthAlong({ rows, cols }: Extents, axes: Axes): number {
  return (axes & 1 ? rows : 1) * (axes & 2 ? cols : 1);
}

/** Whether these are the axes of what is one per row or one per column. */
export const isPartial = (axes: Axes | undefined): boolean => axes === 1 || axes === 2;

/** Axes of a rule in memory, or back. */
export function inMemory(axes: Axes, transposed: boolean): Axes {
  if (!transposed) return axes;
  return axes === 1 ? 2 : axes === 2 ? 1 : axes;
}

/** The same of what a reduction is per. */
export function perInMemory(per: Per, transposed: boolean): Per {
  if (!transposed || per === "tensor") return per;
  return per === "row" ? "column" : "row";
}
