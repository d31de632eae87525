import { layoutFor, reader, rowsAndColumns, type Target } from "./layout.ts";
import type { Part, Store } from "./store.ts";
import type { Surface } from "./surface.ts";

/** Σ scale × vector, of one or two vectors of a shape, in one draw. */
export function drawSum<P extends Target>(
  canvas: Surface,
  store: Pick<Store<P>, "make">,
  shape: readonly number[],
  parts: readonly Part[],
): P {
  const sum = store.make(shape);
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
