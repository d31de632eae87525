import { globals, header, record, scalerState, scalerStateWords } from "./layout.ts";
import { pairFunctions } from "./pairs.ts";
import { reductionFunctions } from "./reduce.ts";
import { codeBlock, opCodes, uniformCodes } from "./scalars.ts";
import { kernel, type KernelSource } from "./source.ts";

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
    declarations(registers, 1),
    prepareMain(),
  );
}

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
    declarations(registers, norms),
    normsMain(norms),
  );
}

/** The interpreter of `scalars.ts`, and what both kernels need. */
const declarations = (registers: number, norms: number): string => `${reductionFunctions()}
${pairFunctions()}
var<workgroup> sizes: array<u32, 64>;
var<workgroup> sums: array<f32, 64>;
var<private> registers: array<vec2f, ${64 * Math.ceil(registers / 64) || 64}>;
var<private> norms: array<vec2f, ${norms}>;
fn float(word: u32) -> f32 { return bitcast<f32>(table[word]); }
fn pairAt(word: u32) -> vec2f { return vec2f(float(word), float(word + 1u)); }
fn compute(op: u32, place: u32, step: u32, block: u32, b: vec2f, c: vec2f) -> vec2f {
  let a = registers[place];
  switch (op) {
${cases()}
  default: { return a; }
  }
}
fn evaluate(record: u32, factor: f32, counts: bool) {
  let code = table[record + ${record.code}u];
  let statics = table[record + ${record.statics}u];
  let block = table[record + ${record.state}u];
  let step = state[block] + 1u;
  let first = table[code + ${codeBlock.statics}u];
  for (var i = 0u; i < first; i++) { registers[i] = pairAt(statics + 2u * i); }
  var word = code + ${codeBlock.words}u;
  let last = first + table[code + ${codeBlock.instructions}u];
  for (var i = first; i < last; i++) {
    let one = table[word];
    let two = table[word + 1u];
    registers[i] = compute(one & 0xffffu, one >> 16u, step, block, registers[two & 0xffffu], registers[two >> 16u]);
    word += 2u;
  }
  let count = table[code + ${codeBlock.uniforms}u];
  for (var i = 0u; i < count; i++) {
    let source = table[word];
    var value = factor;
    if (source == ${uniformCodes.clipValue}u) { value = float(${header.clipValue}u); }
    else if (source != ${uniformCodes.gradFactor}u) { value = registers[source].x; }
    table[record + ${record.uniforms}u + i] = bitcast<u32>(value);
    word += 1u;
  }
  if (!counts) { return; }
  state[block] = step;
  let end = word + table[code + ${codeBlock.scalarSlots}u];
  for (; word < end; word++) {
    let value = registers[table[word] & 0xffffu];
    let slot = block + (table[word] >> 16u);
    state[slot] = bitcast<u32>(value.x);
    state[slot + 1u] = bitcast<u32>(value.y);
  }
}`;

const results: { readonly [O in keyof typeof opCodes]: string } = {
  step: "exactSum(f32(step & 0xff000000u), f32(step & 0xffffffu))",
  scalarSlot: "vec2f(bitcast<f32>(state[block + place]), bitcast<f32>(state[block + place + 1u]))",
  norm: "norms[place]",
  add: "add(a, b)",
  sub: "add(a, -b)",
  mul: "mul(a, b)",
  div: "div(a, b)",
  sqrt: "root(a)",
  expm1: "expm1(a)",
  logGuess: "number(logGuess(a.x))",
  keep: "select(b, a, sizeOf(a.x) >= 0x7f800000u)",
  power: "power(a, b, c)",
  neg: "-a",
  abs: "select(a, -a, a.x < 0f)",
  sign: "signOf(a)",
  min: "select(a, b, isAbove(a, b) || isNan(b))",
  max: "select(a, b, isAbove(b, a) || isNan(b))",
  gt: "number(f32(isAbove(a, b)))",
  eq: "number(f32(a.x == b.x && a.y == b.y))",
  select: "select(b, a, c.x == 1f)",
};
const cases = (): string =>
  Object.entries(results)
    .map(([op, result]) => `  case ${opCodes[op as keyof typeof opCodes]}u: { return ${result}; }`)
    .join("\n");

const prepareMain = (): string => `zero = table[${header.zero}u];
let count = table[${header.partialCount}u];
var size = 0u;
for (var i = thread; i < count; i += 64u) { size = max(size, partials[i].x); }
sizes[thread] = size;
workgroupBarrier();
for (var i = 0u; i < 64u; i++) { size = max(size, sizes[i]); }
let kind = table[${header.normKind}u];
let p = float(${header.power}u);
let scale = scaleOf(size);
let inverse = inverseOf(scale);
var sum = 0f;
for (var i = thread; i < count; i += 64u) {
let part = partials[i];
let ratio = bitcast<f32>(part.y) * inverse;
switch (kind) {
case 1u: { sum += bitcast<f32>(part.z) * ratio; }
case 2u: { sum += squaresOf(part, inverse); }
case 3u: { sum += bitcast<f32>(part.z) * pow(ratio, p); }
default: {}
}
}
sums[thread] = sum;
workgroupBarrier();
sum = 0f;
for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
switch (kind) {
case 2u: { sum = sqrt(sum); }
case 3u: { sum = pow(sum, 1f / p); }
case 4u: { sum = bitcast<f32>(size) * inverse; }
default: {}
}

let isFiniteStep = isFinite(size);
let applies = isFiniteStep || table[${header.skips}u] == 0u;
let scaling = table[${header.scaler}u];
let latched = ${globals.latched}u + table[${header.latched}u];
var factorPair = pairAt(${header.rescale}u);
var rest = 1f;
if (scaling != 0u) {
let lossScale = bitcast<f32>(state[latched]);
rest = select(1f, ${2 ** -64}f, lossScale > ${2 ** 60}f);
factorPair = div(factorPair, number(lossScale * rest));
}
var factor = factorPair.x;
// Not the norm times the factor: a norm of scaled gradients may be above what float32 holds.
let norm = select(bitcast<f32>(size), min(scale * rest * abs(factor) * sum, 3.4028234663852886e38f), isFiniteStep);
if (table[${header.clips}u] != 0u) {
let maxNorm = float(${header.maxNorm}u);
if (!isFiniteStep) {
factor = select(factor * 0f, bitcast<f32>(size), size > 0x7f800000u);
} else if (norm + 1e-6f > maxNorm) {
factor *= maxNorm / (norm + 1e-6f);
}
}

let index = (group.x + group.y * groups.x) * 64u + thread;
if (index < table[${header.recordCount}u]) {
let record = table[${header.records}u] + index * table[${header.recordStride}u];
let live = table[record + ${record.active}u] != 0u && applies;
table[record + ${record.live}u] = u32(live);
if (live) {
table[record + ${record.factorRest}u] = bitcast<u32>(rest);
if (table[record + ${record.code}u] == 0u) {
table[record + ${record.uniforms}u] = bitcast<u32>(factor);
} else {
evaluate(record, factor, table[table[record + ${record.code}u] + ${codeBlock.norms}u] == 0u);
}
}
}
if (index != 0u) { return; }

if (kind != 0u) { state[${globals.norm}u] = bitcast<u32>(norm); }
state[${globals.finite}u] = u32(isFiniteStep);
if (applies) {
state[${globals.steps}u] += 1u;
} else {
state[${globals.skipped}u] += 1u;
state[${globals.failed}u] += table[${header.fails}u];
}
if (scaling == 0u) { return; }
let current = ${scalerStateWords}u * table[${header.scalerCurrent}u];
let other = ${scalerStateWords}u - current;
let found = !isFiniteStep || scaler[current + ${scalerState.found}u] != 0u;
// As bits, which keep a subnormal scale: 0 would never recover.
var lossScale = scaler[current];
var tracker = scaler[current + ${scalerState.growthTracker}u];
if (scaling == 2u) {
if (found) {
lossScale = max(table[${header.minScale}u], bitcast<u32>(mul(number(bitcast<f32>(lossScale)), pairAt(${header.backoffFactor}u)).x));
tracker = 0u;
} else if (tracker + 1u < table[${header.growthInterval}u]) {
tracker += 1u;
} else {
let grown = bitcast<u32>(mul(number(bitcast<f32>(lossScale)), pairAt(${header.growthFactor}u)).x);
lossScale = select(lossScale, grown, grown < 0x7f800000u);
tracker = 0u;
}
}
scaler[current + ${scalerState.found}u] = u32(found);
scaler[other] = lossScale;
scaler[other + ${scalerState.growthTracker}u] = tracker;
scaler[other + ${scalerState.found}u] = 0u;
state[${2 * globals.latched + 1}u - latched] = lossScale;
seed[0] = float(${header.seedScale}u) * bitcast<f32>(lossScale);`;

/** Every workgroup finishes the norms of its record, and one thread computes with them. */
const normsMain = (norms: number): string => `zero = table[${header.zero}u];
let index = group.x + group.y * groups.x;
let count = table[${header.recordCount}u];
let record = table[${header.records}u] + min(index, count - 1u) * table[${header.recordStride}u];
let stride = table[${header.normStride}u];
let first = table[record + ${record.firstTile}u];
let end = first + table[record + ${record.tileCount}u];
for (var k = 0u; k < ${norms}u; k++) {
var size = 0u;
for (var i = first + thread; i < end; i += 64u) { size = max(size, normPartials[i * stride + k].x); }
sizes[thread] = size;
workgroupBarrier();
for (var i = 0u; i < 64u; i++) { size = max(size, sizes[i]); }
let scale = scaleOf(size);
var sum = 0f;
for (var i = first + thread; i < end; i += 64u) { sum += squaresOf(normPartials[i * stride + k], inverseOf(scale)); }
sums[thread] = sum;
workgroupBarrier();
sum = 0f;
for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
norms[k] = select(number(bitcast<f32>(size)), root(number(sum)) * scale, isFinite(size));
}
let code = table[record + ${record.code}u];
if (thread != 0u || index >= count || table[record + ${record.live}u] == 0u || code == 0u) { return; }
if (table[code + ${codeBlock.norms}u] == 0u) { return; }
evaluate(record, float(record + ${record.uniforms}u), true);`;
