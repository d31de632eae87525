import { interpreter } from "./interpreter.ts";
import { header, record } from "./layout.ts";
import { pairFunctions } from "./pairs.ts";
import { reductionFunctions, sumFunctions } from "./reduce.ts";
import { codeBlock, reductionCodes } from "./scalars.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Runs after passes that reduce per tensor, once for all that are as early as each other: computes the uniforms of records whose programs have
 * such passes, with what is known by then. The last one that a program needs counts its step and takes over its scalar slots. Dispatch one
 * workgroup per record, in two dimensions where there are more than one has.
 *
 * Bindings: table, state, normPartials, range (of which `first` is the number of this evaluation).
 *
 * @param norms as many as the program with most reductions has: `header.normStride`
 * @param sums whether any of them is a `sum` or a `dot`
 */
export function prepareNormsKernel(registers: number, norms: number, sums = false): KernelSource {
  return kernel(
    "prepare norms",
    [
      ["table", "storage", "array<u32>"],
      ["state", "storage", "array<u32>"],
      ["normPartials", "read-only-storage", "array<vec4u>"],
      ["range", "uniform", "vec4u"],
    ],
    [
      reductionFunctions(),
      ...(sums ? [sumFunctions()] : []),
      pairFunctions(),
      interpreter(registers, norms),
      takingFunctions(sums),
    ],
    main(norms),
  );
}

/** Every workgroup finishes the reductions of its record, and one thread computes with them. */
const main = (norms: number): string => wgsl`
  zero = table[${header.zero}u];
  let index = group.x + group.y * groups.x;
  let count = table[${header.recordCount}u];
  let record = table[${header.records}u] + min(index, count - 1u) * table[${header.recordStride}u];
  let code = table[record + ${record.code}u];
  for (var k = 0u; k < ${norms}u; k++) { take(thread, record, code, k); }
  if (thread != 0u || index >= count || table[record + ${record.live}u] == 0u || code == 0u) { return; }
  let last = table[code + ${codeBlock.evaluations}u];
  if (range.z > last) { return; }
  evaluate(record, float(record + ${record.uniforms}u), range.z == last);
`;

/** Called by all threads at once, since each of them goes through a part of the partials. */
const takingFunctions = (sums: boolean): string => wgsl`
  var<workgroup> sizes: array<u32, 64>;
  ${sums ? "var<workgroup> tops: array<i32, 64>;" : ""}
  var<workgroup> sums: array<f32, 64>;

  fn take(thread: u32, record: u32, code: u32, k: u32) {
    let stride = table[${header.normStride}u];
    let first = table[record + ${record.firstTile}u];
    let end = first + table[record + ${record.tileCount}u];
    let kind = table[code + table[code + ${codeBlock.kinds}u] + k];
    var size = 0u;
    for (var i = first + thread; i < end; i += 64u) { size = max(size, normPartials[i * stride + k].x); }
    sizes[thread] = size;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) { size = max(size, sizes[i]); }
    ${sums ? takeTop() : ""}

    let scale = scaleOf(size);
    let inverse = inverseOf(scale);
    var sum = 0f;
    for (var i = first + thread; i < end; i += 64u) {
      let part = normPartials[i * stride + k];
      ${sums ? `sum += select(termIn(part, exponent, isFinite(size)), squaresOf(part, inverse), kind == ${reductionCodes.norm}u);` : "sum += squaresOf(part, inverse);"}
    }
    sums[thread] = sum;
    workgroupBarrier();
    sum = 0f;
    for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
    if (kind == ${reductionCodes.norm}u) { keepNorm(k, size, scale, sum); }
    ${sums ? `if (kind == ${reductionCodes.sum}u) { keepSum(k, size, exponent, sum); }` : ""}
    if (kind == ${reductionCodes.largest}u) { keep(k, number(bitcast<f32>(size)), 0); }
  }

  fn keep(k: u32, value: vec2f, level: i32) {
    norms[k] = value;
    normLevels[k] = level;
  }

  fn keepNorm(k: u32, size: u32, scale: f32, sum: f32) {
    let length = root(number(sum));
    // Not finite, ordinary, or beyond float32.
    let isWide = isFinite(size) && (sizeOf(length.x) >> 23u) + (bitcast<u32>(scale) >> 23u) > 381u;
    let ordinary = select(number(bitcast<f32>(size)), length * scale, isFinite(size));
    keep(k, select(ordinary, length * (scale * powerOfTwo(-112)), isWide), i32(isWide));
  }

  ${sums ? keepSum() : ""}
`;

const takeTop = (): string => wgsl`
  var exponent = -4096;
  for (var i = first + thread; i < end; i += 64u) { exponent = max(exponent, topOf(normPartials[i * stride + k])); }
  tops[thread] = exponent;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) { exponent = max(exponent, tops[i]); }
  // Sums of so many are in the range of float32.
  exponent = select(0, exponent, exponent > 90 || (exponent < -80 && exponent > -4096));
`;

const keepSum = (): string => wgsl`
  fn keepSum(k: u32, size: u32, exponent: i32, sum: f32) {
    let whole = exponent + exponentOf(sizeOf(sum));
    let level = select(i32(round(f32(exponent) / 112f)), 0, sum == 0f || abs(whole) < 126);
    let value = select(shifted(sum, exponent - 112 * level), sum, exponent == 0);
    let isLost = !isFinite(size) && isFinite(sizeOf(sum));
    keep(k, number(select(value, nan(), isLost)), select(0, level, isFinite(size)));
  }
`;
