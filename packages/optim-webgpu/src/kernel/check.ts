import { checkGroups, header, type NormKind, record, tile, workgroupSize } from "./layout.ts";
import { reductionFunctions } from "./reduce.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Measures the accumulators of one chunk, as far as their parameters are active. Dispatch `checkWorkgroups(tileCount)` workgroups.
 *
 * Bindings: gradient, table, range, partials.
 *
 * @param ignoreNonFinite elements that are not finite count as 0, in the finite check too
 */
export function checkKernel(norm: NormKind, ignoreNonFinite: boolean): KernelSource {
  const load = wgsl`
    var x = grad[at];
    ${ignoreNonFinite ? "x = select(x, vec4f(), sizeBits(x) >= vec4u(0x7f800000u));" : ""}
  `;
  return kernel(
    `check ${norm}${ignoreNonFinite ? " of what is finite" : ""}`,
    [
      ["grad", "read-only-storage", "array<vec4f>"],
      ["table", "read-only-storage", "array<u32>"],
      ["range", "uniform", "vec4u"],
      ["partials", "storage", "array<vec4u>"],
    ],
    [reductionFunctions()],
    wgsl`
      let power = bitcast<f32>(table[${header.power}u]);
      ${measured(norm, load, overTiles)}
    `,
  );
}

/**
 * Measures one vector, by its own threads. Dispatch any number of workgroups: each writes `partialsPerWorkgroup` partials.
 *
 * Bindings: vector, range (first vec4, vec4s, first partial), partials.
 */
export const normKernel = (): KernelSource =>
  kernel(
    "norm",
    [
      ["vector", "read-only-storage", "array<vec4f>"],
      ["range", "uniform", "vec4u"],
      ["partials", "storage", "array<vec4u>"],
    ],
    [reductionFunctions()],
    measured(
      2,
      "let x = vector[range.x + i];",
      (body) => wgsl`
      for (var i = group.x * ${workgroupSize}u + thread; i < range.y; i += groups.x * ${workgroupSize}u) {
        ${body}
      }
    `,
    ),
  );

/** Measures elements and writes one partial a thread. @param over a loop over them @param load gives `x` */
function measured(norm: NormKind, load: string, over: (body: string) => string): string {
  const term = terms[norm];
  const measure = term === undefined || norm === "power" ? "" : `sum += ${term("x")};`;
  return wgsl`
    var largest = vec4u();
    var sum = vec4f();
    var scale = 1f;
    ${over(wgsl`
      ${load}
      largest = max(largest, sizeBits(x));
      ${measure}
    `)}
    let size = largestOf(largest);
    ${term === undefined ? "" : measureScaled(norm === "power", load, term, over)}
    partials[range.z + group.x * ${workgroupSize}u + thread] = partialOf(size, scale, sumOf(sum));
  `;
}

/** Measures once more, elements divided by a scale, where the sum has left the range of float32; powers always. */
function measureScaled(
  isPower: boolean,
  load: string,
  term: (x: string) => string,
  over: (body: string) => string,
): string {
  const needed = isPower ? "isNormal(size)" : "isNormal(size) && !isUsable(sumOf(sum))";
  return wgsl`
    if (${needed}) {
      scale = ${isPower ? "bitcast<f32>(size)" : "scaleOf(size)"};
      sum = vec4f();
      let inverse = inverseOf(scaleOf(size));
      let rest = 1f / (scale * inverse);
      ${over(wgsl`
        ${load}
        sum += ${term("(x * inverse) * rest")};
      `)}
    }
  `;
}

const terms: { readonly [N in NormKind]: ((x: string) => string) | undefined } = {
  none: undefined,
  inf: undefined,
  1: (x) => `abs(${x})`,
  2: (x) => `(${x}) * (${x})`,
  // A logarithm of 0 is nothing to rely on.
  power: (x) => `select(pow(abs(${x}), vec4f(power)), vec4f(), x == vec4f())`,
};

/** Padding is zero, and needs no mask. */
const overTiles = (body: string): string => wgsl`
  for (var index = group.x; index < range.y; index += groups.x) {
    let tile = range.x + 4u * index;
    if (table[table[tile + ${tile.record}u] + ${record.active}u] == 0u) { continue; }
    let plane = table[tile + ${tile.planeStart}u] / 4u;
    let length = table[tile + ${tile.length}u];
    for (var i = thread; 4u * i < length; i += 64u) {
      let at = plane + i;
      ${body}
    }
  }
`;

/** Workgroups of a check over so many tiles. Each of them writes `partialsPerWorkgroup` partials. */
export function checkWorkgroups(tileCount: number): number {
  return Math.min(tileCount, checkGroups);
}
export const partialsPerWorkgroup: number = workgroupSize;
