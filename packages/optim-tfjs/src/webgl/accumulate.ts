import * as tf from "@tensorflow/tfjs-core";
import type { TensorCell } from "../ops/tensor-cell.ts";
import type { Canvas } from "./canvas.ts";
import { type Layout, layoutFor, reader, rowsAndColumns } from "./layout.ts";

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
  if (gradient.size > 0 && canvas.active) cell.replace(sum(canvas, cell, gradient, scale));
  else tf.tidy(() => cell.replace(tf.add(cell.tensor, tf.mul(gradient, scale))));
  gradient.dispose();
}

function sum(canvas: Canvas, cell: TensorCell, gradient: tf.Tensor, scale: number): tf.Tensor {
  const before = cell.parts;
  const { shape } = gradient;
  const temporary: tf.TensorInfo[] = [];
  const inputs = [before.tensor, gradient].map((tensor) => canvas.source(tensor, temporary));
  const info = canvas.output(shape);
  const target = canvas.target(info);
  const source = sumSource(inputs.map((input) => layoutFor(input, target.width)));
  const linked = canvas.link(source, ["sum", "grad"]);
  canvas.begin();
  canvas.draw({
    linked,
    inputs,
    outputs: [target],
    set(gl, { location }) {
      const [rows, columns] = rowsAndColumns(shape);
      gl.uniform3i(location("shape"), rows, columns, target.width);
      gl.uniform2f(location("scales"), before.scale, scale);
    },
  });
  canvas.end();
  for (const one of temporary) canvas.dispose(one);
  return canvas.tensor(info);
}

const sumSource = ([sumLayout, gradLayout]: readonly Layout[]): string => `uniform ivec3 shape;
uniform vec2 scales;
layout(location = 0) out vec4 out0;
${reader("sum", sumLayout as Layout)}
${reader("grad", gradLayout as Layout)}
void main() {
  int t = int(gl_FragCoord.y) * shape.z + int(gl_FragCoord.x);
  out0 = sum_at(t) * scales.x + grad_at(t) * scales.y;
}`;
