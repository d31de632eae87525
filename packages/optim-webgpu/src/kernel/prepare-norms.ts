import { interpreter } from "./interpreter.ts";
import { header, record } from "./layout.ts";
import { pairFunctions } from "./pairs.ts";
import { reductionFunctions } from "./reduce.ts";
import { codeBlock } from "./scalars.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Runs after a norms pass: computes the uniforms of records whose programs have norms, and counts their steps. Dispatch one workgroup per
 * record, in two dimensions where there are more than one has.
 *
 * Bindings: table, state, normPartials.
 *
 * @param norms as many as the program with most has: `header.normStride`
 */
export function prepareNormsKernel(registers: number, norms: number): KernelSource {
  return kernel(
    "prepare norms",
    [
      ["table", "storage", "array<u32>"],
      ["state", "storage", "array<u32>"],
      ["normPartials", "read-only-storage", "array<vec4u>"],
    ],
    [reductionFunctions(), pairFunctions(), interpreter(registers, norms), normFunctions()],
    main(norms),
  );
}

/** Every workgroup finishes the norms of its record, and one thread computes with them. */
const main = (norms: number): string => wgsl`
  zero = table[${header.zero}u];
  let index = group.x + group.y * groups.x;
  let count = table[${header.recordCount}u];
  let record = table[${header.records}u] + min(index, count - 1u) * table[${header.recordStride}u];
  for (var k = 0u; k < ${norms}u; k++) { takeNorm(thread, record, k); }
  let code = table[record + ${record.code}u];
  if (thread != 0u || index >= count || table[record + ${record.live}u] == 0u || code == 0u) { return; }
  if (table[code + ${codeBlock.norms}u] == 0u) { return; }
  evaluate(record, float(record + ${record.uniforms}u), true);
`;

/** Called by all threads at once, since each of them goes through a part of the partials. */
const normFunctions = (): string => wgsl`
  var<workgroup> sizes: array<u32, 64>;
  var<workgroup> sums: array<f32, 64>;

  fn takeNorm(thread: u32, record: u32, norm: u32) {
    let stride = table[${header.normStride}u];
    let first = table[record + ${record.firstTile}u];
    let end = first + table[record + ${record.tileCount}u];
    var size = 0u;
    for (var i = first + thread; i < end; i += 64u) { size = max(size, normPartials[i * stride + norm].x); }
    sizes[thread] = size;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) { size = max(size, sizes[i]); }

    let scale = scaleOf(size);
    let inverse = inverseOf(scale);
    var sum = 0f;
    for (var i = first + thread; i < end; i += 64u) { sum += squaresOf(normPartials[i * stride + norm], inverse); }
    sums[thread] = sum;
    workgroupBarrier();
    sum = 0f;
    for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
    let length = root(number(sum));
    // Not finite, ordinary, or beyond float32.
    let isWide = isFinite(size) && (sizeOf(length.x) >> 23u) + (bitcast<u32>(scale) >> 23u) > 381u;
    let ordinary = select(number(bitcast<f32>(size)), length * scale, isFinite(size));
    norms[norm] = select(ordinary, length * (scale * powerOfTwo(-112)), isWide);
    normLevels[norm] = i32(isWide);
  }
`;
