import { interpreter } from "./interpreter.ts";
import { globals, header, normKinds, record, scalerState, scalerStateWords } from "./layout.ts";
import { pairFunctions } from "./pairs.ts";
import { reductionFunctions } from "./reduce.ts";
import { codeBlock } from "./scalars.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";
import { wideFunctions } from "./wide.ts";

/**
 * Finishes the check, and writes what follows from it: uniforms and `live` of every record, step counts and scalar slots, globals, the
 * loss scaler's next state, and seed and latched scale of the next window. Counts the step. Dispatch a workgroup for every 64 records.
 *
 * Bindings: table, state, partials, scaler, seed (bind anything where `header.partialCount` or `header.scaler` is 0).
 *
 * @param registers as many as the program with most needs: see `registersOf`
 */
export function prepareKernel(registers: number): KernelSource {
  return kernel(
    "prepare",
    [
      ["table", "storage", "array<u32>"],
      ["state", "storage", "array<u32>"],
      ["partials", "read-only-storage", "array<vec4u>"],
      ["scaler", "storage", "array<u32>"],
      ["seed", "storage", "array<f32>"],
    ],
    [
      reductionFunctions(),
      pairFunctions(),
      wideFunctions(),
      interpreter(registers),
      normFunctions(),
      factorFunctions(),
      recordFunctions(),
      reportFunctions(),
    ],
    main(),
  );
}

/** Every thread of every workgroup has the norm; 64 threads take 64 records; and one tells what the step has become. */
const main = (): string => wgsl`
  zero = table[${header.zero}u];
  let size = largestSize(thread);
  let raw = rawNorm(thread, size);

  let isFiniteStep = isFinite(size);
  let applies = isFiniteStep || table[${header.skips}u] == 0u;
  let unclipped = unscaleFactor();
  let norm = wideProduct(raw, Wide(abs(unclipped.fraction), unclipped.exponent));
  let factor = clip(unclipped, norm, size);

  let index = (group.x + group.y * groups.x) * 64u + thread;
  if (index < table[${header.recordCount}u]) { prepareRecord(index, factor, applies); }
  if (index != 0u || table[${header.runs}u] != 0u) { return; }
  report(norm, size, applies);
  if (table[${header.scaler}u] != 0u) { tellScaler(isFiniteStep); }
`;

/** The sum of all partials. Called by all threads at once, since each of them goes through a part of them. */
const normFunctions = (): string => wgsl`
  var<workgroup> sizes: array<u32, 64>;
  var<workgroup> sums: array<f32, 64>;

  fn largestSize(thread: u32) -> u32 {
    let count = table[${header.partialCount}u];
    var size = 0u;
    for (var i = thread; i < count; i += 64u) { size = max(size, partials[i].x); }
    sizes[thread] = size;
    workgroupBarrier();
    for (var i = 0u; i < 64u; i++) { size = max(size, sizes[i]); }
    return size;
  }

  // The share of a partial in the sum, in units of the scale that the norm is measured in. A thread that saw only zeros has a scale that says
  // nothing, and powers of which need not be finite.
  fn termOf(part: vec4u, kind: u32, size: u32) -> f32 {
    let sum = bitcast<f32>(part.z);
    if (sum == 0f) { return 0f; }
    let inverse = inverseOf(scaleOf(size));
    let ratio = bitcast<f32>(part.y) * inverse;
    switch (kind) {
      case ${normKinds[1]}u: { return sum * ratio; }
      case ${normKinds[2]}u: { return squaresOf(part, inverse); }
      // By the largest itself: a ratio above 1 may have a power beyond float32.
      case ${normKinds.power}u: { return sum * pow(ratio / (bitcast<f32>(size) * inverse), float(${header.power}u)); }
      default: { return 0f; }
    }
  }

  fn sumOfTerms(thread: u32, kind: u32, size: u32) -> f32 {
    let count = table[${header.partialCount}u];
    var sum = 0f;
    for (var i = thread; i < count; i += 64u) { sum += termOf(partials[i], kind, size); }
    sums[thread] = sum;
    workgroupBarrier();
    sum = 0f;
    for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
    return sum;
  }

  // sum^(1/p)
  fn powerRoot(sum: f32) -> Wide {
    if (sum == 0f) { return Wide(0f, 0); }
    let logarithm = clamp(log2(sum) / float(${header.power}u), -1e6f, 1e6f);
    let whole = floor(logarithm);
    return scaled(wideNumber(exp2(logarithm - whole)), i32(whole));
  }

  // The norm of the accumulators as they are, where all is finite.
  fn rawNorm(thread: u32, size: u32) -> Wide {
    let kind = table[${header.normKind}u];
    let sum = sumOfTerms(thread, kind, size);
    let exponent = wideNumber(scaleOf(size)).exponent;
    switch (kind) {
      case ${normKinds[1]}u: { return scaled(wideNumber(sum), exponent); }
      case ${normKinds[2]}u: { return scaled(wideNumber(sqrt(sum)), exponent); }
      case ${normKinds.power}u: { return wideProduct(wideOf(size), powerRoot(sum)); }
      case ${normKinds.inf}u: { return wideOf(size); }
      default: { return Wide(0f, 0); }
    }
  }
`;

/** rescale ÷ loss scale × clip coefficient. */
const factorFunctions = (): string => wgsl`
  fn latchedWord() -> u32 { return ${globals.latched}u + table[${header.latched}u]; }

  fn unscaleFactor() -> Wide {
    let rescale = pairAt(${header.rescale}u);
    let exponent = bitcast<i32>(table[${header.rescaleExponent}u]);
    if (table[${header.scaler}u] == 0u) { return scaled(wideNumber(rescale.x), exponent); }
    let lossScale = wideOf(state[latchedWord()]);
    return scaled(wideNumber(div(rescale, number(lossScale.fraction)).x), exponent - lossScale.exponent);
  }

  // The norm + 1e-6, which a norm above 2^100 does not see.
  fn withMargin(norm: Wide) -> Wide {
    if (norm.exponent > 100) { return norm; }
    return wideNumber(narrow(norm) + 1e-6f);
  }

  // The factor × min(1, maxNorm ÷ (norm + 1e-6)), where the step clips by norm.
  fn clip(factor: Wide, norm: Wide, size: u32) -> Wide {
    if (table[${header.clips}u] == 0u) { return factor; }
    let maxNorm = Wide(float(${header.maxNorm}u), bitcast<i32>(table[${header.maxNormExponent}u]));
    let isUnlimited = sizeOf(maxNorm.fraction) == 0x7f800000u;
    if (!isFinite(size)) {
      // maxNorm ÷ ∞ is 0, and ∞ ÷ ∞ and all of NaN is NaN.
      return Wide(select(factor.fraction * 0f, nan(), isUnlimited || size > 0x7f800000u), 0);
    }
    if (isUnlimited) { return factor; }
    let divisor = withMargin(norm);
    if (!isWideAbove(divisor, maxNorm)) { return factor; }
    return wideProduct(factor, wideQuotient(maxNorm, divisor));
  }
`;

const recordFunctions = (): string => wgsl`
  fn prepareRecord(index: u32, factor: Wide, applies: bool) {
    let record = table[${header.records}u] + index * table[${header.recordStride}u];
    let live = table[record + ${record.active}u] != 0u && applies;
    table[record + ${record.live}u] = u32(live);
    if (!live) { return; }

    // A factor that is no ordinary float32 comes as two that are.
    let exponent = clamp(factor.exponent, -126, 126);
    let main = factor.fraction * powerOfTwo(exponent);
    table[record + ${record.factorRest}u] = bitcast<u32>(powerOfTwo(factor.exponent - exponent));
    let code = table[record + ${record.code}u];
    if (code == 0u) {
      table[record + ${record.uniforms}u] = bitcast<u32>(main);
    } else {
      evaluate(record, main, table[code + ${codeBlock.evaluations}u] == 0u && table[${header.runs}u] == 0u);
    }
  }
`;

/** The report of one thread on the step: to whoever reads, and to the loss scaler. */
const reportFunctions = (): string => wgsl`
  fn report(norm: Wide, size: u32, applies: bool) {
    if (table[${header.normKind}u] != 0u) {
      state[${globals.norm}u] = select(size, bitcast<u32>(norm.fraction), isFinite(size));
      state[${globals.normExponent}u] = bitcast<u32>(select(0, norm.exponent, isFinite(size)));
    }
    state[${globals.finite}u] = u32(isFinite(size));
    if (applies) {
      state[${globals.steps}u] += 1u;
    } else {
      state[${globals.skipped}u] += 1u;
      state[${globals.failed}u] += table[${header.fails}u];
    }
  }

  struct LossScale { bits: u32, growthTracker: u32 }

  // The effect of update() on a dynamic loss scale. As bits, which keep a subnormal scale: 0 would never recover.
  fn nextLossScale(now: LossScale, found: bool) -> LossScale {
    let scale = number(bitcast<f32>(now.bits));
    if (found) {
      let less = bitcast<u32>(mul(scale, pairAt(${header.backoffFactor}u)).x);
      return LossScale(max(table[${header.minScale}u], less), 0u);
    }
    if (now.growthTracker + 1u < table[${header.growthInterval}u]) {
      return LossScale(now.bits, now.growthTracker + 1u);
    }
    let grown = bitcast<u32>(mul(scale, pairAt(${header.growthFactor}u)).x);
    return LossScale(select(now.bits, grown, grown < 0x7f800000u), 0u);
  }

  fn tellScaler(isFiniteStep: bool) {
    let current = ${scalerStateWords}u * table[${header.scalerCurrent}u];
    let other = ${scalerStateWords}u - current;
    let found = !isFiniteStep || scaler[current + ${scalerState.found}u] != 0u;
    var next = LossScale(scaler[current], scaler[current + ${scalerState.growthTracker}u]);
    if (table[${header.scaler}u] == 2u) { next = nextLossScale(next, found); }
    scaler[current + ${scalerState.found}u] = u32(found);
    scaler[other] = next.bits;
    scaler[other + ${scalerState.growthTracker}u] = next.growthTracker;
    scaler[other + ${scalerState.found}u] = 0u;
    state[${2 * globals.latched + 1}u - latchedWord()] = next.bits;
    seed[0] = float(${header.seedScale}u) * bitcast<f32>(next.bits);
  }
`;
