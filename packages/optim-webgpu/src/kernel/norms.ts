import type { Program } from "@mm/optim-core/backend";
import { elementFunctions } from "./elementwise.ts";
import { header } from "./layout.ts";
import { reductionFunctions } from "./reduce.ts";
import { kernel, type KernelSource } from "./source.ts";
import {
  asVector,
  elementBindings,
  type ParameterAccess,
  printElements,
  tileLoop,
  tileStart,
} from "./update.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Measures the norms of a program, a workgroup a tile, as `updateKernel`: one partial for each tile and norm.
 *
 * Bindings: as those of `updateKernel`, all read-only, then normPartials (`header.normStride` partials a tile).
 */
export function normsKernel(program: Program, access: ParameterAccess): KernelSource {
  const norms = program.reductions.map(({ a }) => a);
  const { scalars, vectors } = printElements(program, access, norms);
  const each = (print: (norm: number, node: number) => string): string =>
    norms.map((node, norm) => print(norm, node)).join("\n");
  return kernel(
    `norms ${program.label} ${access}`,
    [
      ...elementBindings(program, access, "read-only-storage"),
      ["normPartials", "storage", "array<vec4u>"] as const,
    ],
    [reductionFunctions(), elementFunctions(), `var<workgroup> found: array<vec4u, ${64 * norms.length}>;`],
    wgsl`
      ${tileStart(scalars)}
      ${each((norm) => `var largest${norm} = vec4u(); var sum${norm} = vec4f(); var scale${norm} = 1f;`)}
      for (var again = true; again;) {
        ${tileLoop(wgsl`
          ${vectors}
          ${each((norm, node) => addSquares(norm, asVector(program, node)))}
        `)}
        again = false;
        ${each(rescaleSum)}
        if (again) { ${norms.map((_, norm) => `sum${norm} = vec4f();`).join(" ")} }
      }
      ${each((norm) => `found[${64 * norm}u + thread] = partialOf(largestOf(largest${norm}), scale${norm}, sumOf(sum${norm}));`)}
      workgroupBarrier();
      if (thread >= ${norms.length}u) { return; }
      let begin = 64u * thread;
      var size = 0u;
      for (var i = 0u; i < 64u; i++) { size = max(size, found[begin + i].x); }
      let scale = scaleOf(size);
      var sum = 0f;
      for (var i = 0u; i < 64u; i++) { sum += squaresOf(found[begin + i], inverseOf(scale)); }
      normPartials[(range.z + index) * table[${header.normStride}u] + thread] = partialOf(size, scale, sum);
    `,
  );
}

const addSquares = (norm: number, x: string): string => wgsl`
  let x${norm} = select(vec4f(), ${x}, own);
  largest${norm} = max(largest${norm}, sizeBits(x${norm}));
  let y${norm} = x${norm} * inverseOf(scale${norm});
  sum${norm} += y${norm} * y${norm};
`;

/** Has the tile measured again, elements divided by a scale, where the sum has left the range of float32. */
const rescaleSum = (norm: number): string => wgsl`
  if (scale${norm} == 1f && isNormal(largestOf(largest${norm})) && !isUsable(sumOf(sum${norm}))) {
    scale${norm} = scaleOf(largestOf(largest${norm}));
    again = true;
  }
`;
