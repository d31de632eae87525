import * as tf from "@tensorflow/tfjs-core";
import type { TensorCell } from "../ops/tensor-cell.ts";
import type { Canvas } from "./canvas.ts";
import { layoutFor, reader, rowsAndColumns, type Target } from "./layout.ts";
import type { Part, Releases } from "./store.ts";

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
    canvas.store.put(cell, drawSum(canvas, gradient.shape, [before, added]));
    for (const release of releases) release();
  } else tf.tidy(() => cell.replace(tf.add(cell.tensor, tf.mul(gradient, scale))));
  gradient.dispose();
}

/** Σ scale × vector, of one or two vectors of a shape, in one draw. */
export function drawSum(canvas: Canvas, shape: readonly number[], parts: readonly Part[]): Target {
  const sum = canvas.store.make(shape);
  const layouts = parts.map(({ source }) => layoutFor(source, sum.width));
  const terms = layouts.map((_, index) => `part${index}_at(t) * scales.${"xy"[index]}`);
  const linked = canvas.link(
    `uniform ivec3 shape;
uniform vec2 scales;
layout(location = 0) out planeTexel out0;
${layouts.map((layout, index) => reader(`part${index}`, layout)).join("\n")}
void main() {
  int t = int(gl_FragCoord.y) * shape.z + int(gl_FragCoord.x);
  out0 = toPlane(${terms.join(" + ")});
}`,
    layouts.map((_, index) => `part${index}`),
  );
  canvas.begin();
  canvas.draw({
    linked,
    inputs: parts.map(({ source }) => source),
    outputs: [sum],
    set(gl, { location }) {
      const [rows, columns] = rowsAndColumns(shape);
      const [first, second] = parts;
      gl.uniform3i(location("shape"), rows, columns, sum.width);
      gl.uniform2f(location("scales"), first?.scale ?? 0, second?.scale ?? 0);
    },
  });
  canvas.end();
  return sum;
}
