import { isPartial, memo, type Parameter, type Program } from "@mm/optim-core/backend";
import type { Axes } from "@mm/optim-core/rule";
import * as tf from "@tensorflow/tfjs-core";
import { filled } from "../transfer.ts";
import type { Value } from "./value.ts";

export type Shape = readonly number[];

const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((side, index) => side === b[index]);

/** The shape of an operation on two values of which one may be a scalar, or that are matrices, rows and columns. */
export function shapeOfBoth(a: Shape, b: Shape): number[] {
  if (a.length !== b.length) return [...(a.length > b.length ? a : b)];
  // Not the larger: an empty side is the result's too.
  return a.map((side, index) => (side === 1 ? (b[index] as number) : side));
}

/** A value as a tensor of this shape, to which it broadcasts. */
export function spread(value: Value, shape: Shape): tf.Tensor {
  if (typeof value === "number") return filled(shape, value);
  return sameShape(value.shape, shape) ? value : tf.broadcastTo(value, [...shape]);
}

/** The same elements in another shape: the tensor itself where it has that shape. */
export function reshaped(tensor: tf.Tensor, shape: Shape): tf.Tensor {
  return sameShape(tensor.shape, shape) ? tensor : tf.reshape(tensor, [...shape]);
}

/**
 * How what differs along these axes is laid out while a program is computed: as the parameter is, but as matrices, rows and columns where
 * something in the program is per row or per column, or is a matrix.
 */
export function shapesOf(
  program: Program,
  { shape, view }: Pick<Parameter<unknown, unknown, unknown>, "shape" | "view">,
): (axes: Axes) => Shape {
  if (!memo(shaped, program, () => isShaped(program))) return () => shape;
  return (axes) => [axes & 1 ? view.rows : 1, axes & 2 ? view.cols : 1];
}

const shaped = /* @__PURE__ */ new WeakMap<Program, boolean>();

function isShaped({ axes, slotAxes, reductions, matrices }: Program): boolean {
  return (
    matrices.length > 0 ||
    axes.some(isPartial) ||
    slotAxes.some(isPartial) ||
    reductions.some(({ per }) => per !== "tensor")
  );
}
