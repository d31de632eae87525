import { halfFunctions } from "./half.ts";
import { record, tile } from "./layout.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/** How incoming gradients are stored: float32, or float16 in words of two. */
export type IncomingStorage = "f32" | "packed";

/**
 * Adds incoming gradients to accumulators, or overwrites these, by `record.adds`; a workgroup a tile, as `updateKernel`. Both are planes of
 * one layout, the incoming one in its own element size. The other half of the last word of an odd number is not taken.
 *
 * Bindings: accumulator, incoming, table, range.
 */
export function accumulateKernel(from: IncomingStorage): KernelSource {
  const f32 = from === "f32";
  return kernel(
    `accumulate ${from}`,
    [
      ["accumulator", "storage", "array<vec4f>"],
      ["incoming", "read-only-storage", f32 ? "array<vec4f>" : "array<vec2u>"],
      ["table", "read-only-storage", "array<u32>"],
      ["range", "uniform", "vec4u"],
    ],
    f32 ? [] : [halfFunctions()],
    wgsl`
      let index = group.x + group.y * groups.x;
      if (index >= range.y) { return; }
      let tile = range.x + 4u * index;
      let adds = table[table[tile + ${tile.record}u] + ${record.adds}u];
      if (adds == 0u) { return; }
      let plane = table[tile + ${tile.planeStart}u] / 4u;
      let length = table[tile + ${tile.length}u];
      for (var i = thread; 4u * i < length; i += 64u) {
        let at = plane + i;
        let gradient = ${f32 ? "incoming[at]" : ownHalves};
        accumulator[at] = select(accumulator[at] + gradient, gradient, adds == 2u);
      }
    `,
  );
}

const ownHalves = "select(vec4f(), fromHalves(incoming[at]), vec4u(0, 1, 2, 3) < vec4u(length - 4u * i))";
