import type { Program, ScalarInstruction } from "@mm/optim-core/backend";
import { globals, header, record, scalerState, scalerStateWords, stateBlock } from "./layout.ts";
import { pairFunctions, pairLiteral } from "./pairs.ts";
import { reductionFunctions } from "./reduce.ts";
import { logarithmOfSize, neededRegisters, operandsOf, staticsOf } from "./scalars.ts";
import { kernel, type KernelSource } from "./source.ts";

export interface PrepareOptions {
  /** The scalar slots of all programs together, in the order in which blocks of `state` hold them. */
  readonly scalarSlots: readonly string[];
  /**
   * The pass after a norms pass: computes the uniforms of programs that have norms, and counts their steps; leaves all else alone.
   * Dispatch one workgroup per record, in two dimensions where there are more than one has.
   */
  readonly afterNorms?: boolean;
}

/**
 * Finishes the check, and writes what follows from it: uniforms and `live` of every record, step counts and scalar slots, globals, the
 * loss scaler's next state, and seed and latched scale of the next window. Counts the step. Dispatch a workgroup for every 64 records.
 *
 * Bindings: table, state, partials, scaler, seed (bind anything where `header.partialCount` or `header.scaler` is 0); after norms: table,
 * state, normPartials.
 *
 * @param programs of the kinds 1, 2, …
 */
export function prepareKernel(
  programs: readonly Program[],
  { scalarSlots, afterNorms = false }: PrepareOptions,
): KernelSource {
  const cases = programs.map((program, index) => {
    const body = printProgram(program, scalarSlots, afterNorms);
    return `case ${index + 1}u: {\n${body}\n}`;
  });
  const decide = `switch (table[record + ${record.kind}u]) {
${cases.join("\n")}
default: {}
}`;
  const norms = Math.max(...programs.map((program) => program.norms.length));
  return afterNorms
    ? kernel("prepare after norms", afterNormsBindings, declarations, afterNormsMain(norms, decide))
    : kernel("prepare", firstBindings, declarations, firstMain(decide));
}

const shared = [
  ["table", "storage", "array<u32>"],
  ["state", "storage", "array<u32>"],
] as const;
const firstBindings = [
  ...shared,
  ["partials", "read-only-storage", "array<vec4u>"],
  ["scaler", "storage", "array<u32>"],
  ["seed", "storage", "array<f32>"],
] as const;
const afterNormsBindings = [...shared, ["normPartials", "read-only-storage", "array<vec4u>"]] as const;

const declarations = `${reductionFunctions}
${pairFunctions}
var<workgroup> sizes: array<u32, 64>;
var<workgroup> sums: array<f32, 64>;
fn float(word: u32) -> f32 { return bitcast<f32>(table[word]); }
fn pairAt(word: u32) -> vec2f { return vec2f(float(word), float(word + 1u)); }
fn stateAt(word: u32) -> vec2f { return vec2f(bitcast<f32>(state[word]), bitcast<f32>(state[word + 1u])); }
fn writeState(word: u32, value: vec2f) {
  state[word] = bitcast<u32>(value.x);
  state[word + 1u] = bitcast<u32>(value.y);
}
fn writeUniform(record: u32, index: u32, value: f32) {
  table[record + ${record.uniforms}u + index] = bitcast<u32>(value);
}`;

const firstMain = (decide: string): string => `zero = table[${header.zero}u];
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
if (scaling != 0u) { factorPair = div(factorPair, number(bitcast<f32>(state[latched]))); }
var factor = factorPair.x;
// Not the norm times the factor: a norm of scaled gradients may be above what float32 holds.
let norm = select(bitcast<f32>(size), min(scale * abs(factor) * sum, 3.4028234663852886e38f), isFiniteStep);
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
writeUniform(record, 0u, factor);
${decide}
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
var lossScale = bitcast<f32>(scaler[current]);
var tracker = scaler[current + ${scalerState.growthTracker}u];
if (scaling == 2u) {
if (found) {
lossScale = max(float(${header.minScale}u), mul(number(lossScale), pairAt(${header.backoffFactor}u)).x);
tracker = 0u;
} else if (tracker + 1u < table[${header.growthInterval}u]) {
tracker += 1u;
} else {
let grown = mul(number(lossScale), pairAt(${header.growthFactor}u)).x;
lossScale = select(lossScale, grown, sizeOf(grown) < 0x7f800000u);
tracker = 0u;
}
}
scaler[current + ${scalerState.found}u] = u32(found);
scaler[other] = bitcast<u32>(lossScale);
scaler[other + ${scalerState.growthTracker}u] = tracker;
scaler[other + ${scalerState.found}u] = 0u;
state[${2 * globals.latched + 1}u - latched] = bitcast<u32>(lossScale);
seed[0] = float(${header.seedScale}u) * lossScale;`;

/** Every workgroup finishes the norms of its record, and one thread computes with them. */
const afterNormsMain = (norms: number, decide: string): string => `zero = table[${header.zero}u];
let index = group.x + group.y * groups.x;
let count = table[${header.recordCount}u];
let record = table[${header.records}u] + min(index, count - 1u) * table[${header.recordStride}u];
let stride = table[${header.normStride}u];
let first = table[record + ${record.firstTile}u];
let end = first + table[record + ${record.tileCount}u];
var norms: array<vec2f, ${norms}>;
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
if (thread != 0u || index >= count || table[record + ${record.live}u] == 0u) { return; }
${decide}`;

function printProgram(program: Program, scalarSlots: readonly string[], afterNorms: boolean): string {
  const { scalars, uniforms, norms } = program;
  const hasNorms = norms.length > 0;
  if (afterNorms && !hasNorms) return "";
  // What depends on a norm waits for it; then all else stands, and the step is counted.
  const waits = dependOnNorms(scalars);
  const isNow = (register: number): boolean => waits[register] === afterNorms;
  const counts = afterNorms === hasNorms;
  const statics = staticsOf(program);
  const hostValue = (register: number, log: boolean): string => {
    const instruction = scalars[register] as ScalarInstruction;
    if (instruction.op === "const") {
      return pairLiteral(log ? logarithmOfSize(instruction.value) : instruction.value);
    }
    const place = statics.findIndex((item) => item.register === register && item.log === log);
    return `pairAt(statics + ${2 * place}u)`;
  };
  const print = (register: number): string => {
    const instruction = scalars[register] as ScalarInstruction;
    if (!instruction.dynamic) return hostValue(register, false);
    const logOf = (base: number): string =>
      scalars[base]?.dynamic === true ? `logarithm(sizeOfPair(r${base}))` : hostValue(base, true);
    switch (instruction.op) {
      case "step":
        return "step";
      case "scalarSlot":
        return `stateAt(block + ${slotWord(scalarSlots, instruction.name)}u)`;
      case "norm":
        return `norms[${instruction.norm}]`;
      case "biasCorrection":
        return `-expm1(mul(r${instruction.b}, ${logOf(instruction.a)}))`;
      case "pow":
        return `power(r${instruction.a}, ${logOf(instruction.a)}, r${instruction.b})`;
      case "select": {
        const { condition, a, b } = instruction;
        const holds = scalars[condition]?.dynamic === true ? `r${condition}` : `r${condition}.x == 1f`;
        return `select(r${b}, r${a}, ${holds})`;
      }
      default: {
        const operands = operandsOf(instruction).map((operand) => `r${operand}`);
        if (instruction.op === "lt") operands.reverse();
        return `${functions[instruction.op] ?? instruction.op}(${operands.join(", ")})`;
      }
    }
  };
  const registers = neededRegisters(program, (register) => counts || isNow(register));
  return [
    `let statics = table[record + ${record.statics}u];`,
    `let block = table[record + ${record.state}u];`,
    "let count = state[block] + 1u;",
    "let step = exactSum(f32(count & 0xff000000u), f32(count & 0xffffffu));",
    ...registers.map((register) => `let r${register} = ${print(register)};`),
    ...uniforms.flatMap((source, index) => {
      if (source.from === "clipValue") {
        return afterNorms ? [] : [`writeUniform(record, ${index}u, float(${header.clipValue}u));`];
      }
      return source.from === "scalar" && isNow(source.register)
        ? [`writeUniform(record, ${index}u, r${source.register}.x);`]
        : [];
    }),
    ...(counts
      ? [
          `state[block + ${stateBlock.step}u] = count;`,
          ...program.scalarSlots.map(
            (name, slot) =>
              `writeState(block + ${slotWord(scalarSlots, name)}u, r${program.scalarOutputs[slot]});`,
          ),
        ]
      : []),
  ].join("\n");
}

/** Functions on pairs whose names are not those of the operations: WGSL has some of these for itself. */
const functions: { readonly [op: string]: string } = {
  neg: "-",
  sqrt: "root",
  abs: "sizeOfPair",
  sign: "signOf",
  min: "least",
  max: "greatest",
  exp: "exponential",
  log: "logarithm",
  gt: "isAbove",
  lt: "isAbove",
  eq: "isEqual",
};

const slotWord = (scalarSlots: readonly string[], name: string): number =>
  stateBlock.scalarSlots + 2 * scalarSlots.indexOf(name);

/** By register. */
function dependOnNorms(scalars: readonly ScalarInstruction[]): readonly boolean[] {
  const depend: boolean[] = [];
  for (const instruction of scalars) {
    depend.push(instruction.op === "norm" || operandsOf(instruction).some((operand) => depend[operand]));
  }
  return depend;
}
