import * as tf from "@tensorflow/tfjs-core";
import type { TensorCell } from "../ops/tensor-cell.ts";
import type { Canvas } from "./canvas.ts";
import { drawSum } from "./sum.ts";
import type { Releases } from "./surface.ts";

/**
 * Adds scale × gradient to an accumulator, in one draw; takes the gradient as it is where nothing is pending, and remembers the scale.
 * Lets go of the gradient.
 */
export function accumulate(
  canvas: Canvas,
  cell: TensorCell,
  gradient: tf.Tensor,
  scale: number,
  pending: boolean,
): void {
  if (!pending) return cell.replace(gradient, scale);
  if (gradient.size > 0 && canvas.active) {
    const releases: Releases = [];
    const before = canvas.store.part(cell, releases);
    const added = { source: canvas.store.tensor(gradient, releases), scale };
    canvas.store.put(cell, drawSum(canvas, canvas.store, gradient.shape, [before, added]));
    for (const release of releases) release();
  } else tf.tidy(() => cell.replace(tf.add(cell.tensor, tf.mul(gradient, scale))));
  gradient.dispose();
}
