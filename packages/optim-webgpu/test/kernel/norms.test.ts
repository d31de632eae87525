import { arrayKernels, evaluateScalars, type Program } from "@mm/optim-core/backend";
import {
  abs,
  add,
  defineUpdateRule,
  div,
  eq,
  gt,
  max,
  min,
  mul,
  neg,
  norm,
  type Scalar,
  select,
  sign,
  sqrt,
  sub,
  type UpdateRule,
} from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";
import { beforeAll, describe, expect, test } from "vitest";
import {
  codeWords,
  globalsWords,
  header,
  headerWords,
  pair,
  partialWords,
  prepareKernel,
  prepareNormsKernel,
  record,
  recordWords,
  reduceKernel,
  type ReducePass,
  registersOf,
  stateBlock,
  stateBlockWords,
  staticWords,
  updateKernel,
  writeCode,
  writeStatics,
} from "../../src/kernel/index.ts";
import { openDevice } from "../support/node.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { relativeDifference } from "./numbers.ts";
import { programOf, runPasses } from "../../../../test-support/programs.ts";
import { placesOf, planeOf, Rig, type TestParameter, tableOf, vectorsOf } from "./rig.ts";

let rig: Rig;
beforeAll(async () => {
  rig = new Rig(await openDevice());
});

interface Outcome {
  readonly param: Float32Array;
  readonly slots: readonly Float32Array[];
  readonly uniforms: Float32Array;
  readonly step: number;
  readonly scalarSlots: readonly number[];
}

/** A whole step: prepare, norms, prepare norms, update. */
async function onDevice(
  rule: UpdateRule,
  program: Program,
  access: "vec4" | "scalar",
  parameters: readonly TestParameter[],
  step: number,
  scalarSlots: readonly number[],
): Promise<Outcome[]> {
  const places = placesOf(
    parameters.map(({ param }) => param.length),
    access,
  );
  const [code, statics] = [codeWords(program), staticWords(program)];
  const table = tableOf(places, recordWords(program), code + statics);
  writeCode(program, program.scalarSlots, table.words, headerWords);
  writeStatics(program, rule.hyperparameters, table.floats, headerWords + code);
  table.floats.set(pair(1), header.rescale);
  table.words[header.normStride] = program.reductions.length;
  const block = stateBlockWords(scalarSlots.length);
  const state = new Uint32Array(globalsWords + block * parameters.length);
  for (const [index, at] of table.records.entries()) {
    table.words[at + record.code] = headerWords;
    table.words[at + record.statics] = headerWords + code;
    const blockAt = globalsWords + block * index;
    table.words[at + record.state] = blockAt;
    table.words[at + record.active] = Number(parameters[index]!.active ?? true);
    state[blockAt + stateBlock.step] = step - 1;
    new Float32Array(state.buffer).set(scalarSlots.flatMap(pair), blockAt + stateBlock.scalarSlots);
  }
  const paramPlaces =
    access === "vec4" ? places : places.map((place) => ({ ...place, planeStart: place.paramStart }));
  const size = Math.max(
    ...paramPlaces.map(({ planeStart, length }) => planeStart + 64 * Math.ceil(length / 64)),
  );
  const values = new Float32Array(size);
  for (const [index, { planeStart }] of paramPlaces.entries())
    values.set(parameters[index]!.param, planeStart);
  const param = rig.buffer(values);
  const plane = (vectors: readonly Float32Array[]): GPUBuffer => rig.buffer(planeOf(places, vectors));
  const slots = program.slots.map((_, slot) => plane(parameters.map((parameter) => parameter.slots[slot]!)));
  const vectors = [param, plane(parameters.map(({ grad }) => grad)), ...slots];
  const [tableBuffer, stateBuffer, range] = [
    rig.buffer(table.words),
    rig.buffer(state),
    rig.uniform(table.range),
  ];
  const partials = rig.buffer(new Uint32Array(partialWords * program.reductions.length * table.tileCount));
  const unused = (): GPUBuffer => rig.buffer(new Uint32Array(4));
  const registers = registersOf(program);
  rig.run([
    {
      source: prepareKernel(registers),
      bindings: [tableBuffer, stateBuffer, unused(), unused(), unused()],
      groups: [1],
    },
    {
      source: reduceKernel(program, program.passes[0] as ReducePass, access),
      bindings: [...vectors, tableBuffer, range, partials],
      groups: [table.tileCount],
    },
    {
      source: prepareNormsKernel(registers, program.reductions.length),
      bindings: [tableBuffer, stateBuffer, partials, rig.uniform(Uint32Array.of(0, 0, 1, 0))],
      groups: [parameters.length],
    },
    {
      source: updateKernel(program, access),
      bindings: [...vectors, tableBuffer, range],
      groups: [table.tileCount],
    },
  ]);
  const written = await rig.floats(param);
  const found = await Promise.all(slots.map(async (slot) => vectorsOf(places, await rig.floats(slot))));
  const records = await rig.floats(tableBuffer);
  const after = await rig.words(stateBuffer);
  return paramPlaces.map(({ planeStart, length }, index) => {
    const blockAt = globalsWords + block * index;
    const at = table.records[index]! + record.uniforms;
    const words = new Float32Array(after.buffer, 4 * (blockAt + stateBlock.scalarSlots));
    return {
      param: written.slice(planeStart, planeStart + length),
      slots: found.map((all) => all[index]!),
      uniforms: records.slice(at, at + program.uniforms.length),
      step: after[blockAt + stateBlock.step]!,
      scalarSlots: scalarSlots.map((_, slot) => words[2 * slot]! + words[2 * slot + 1]!),
    };
  });
}

/** The same in core's reference: norms in float64. */
function onHost(
  rule: UpdateRule,
  program: Program,
  { param, grad, slots, active = true }: TestParameter,
  step: number,
  scalarSlots: readonly number[],
): Outcome {
  const registers = new Float64Array(program.scalars.length);
  const uniforms = new Float32Array(program.uniforms.length);
  const sums = new Float64Array(program.reductions.length);
  const inputs = {
    hyperparameters: rule.hyperparameters,
    step,
    scalarSlots: new Map(program.scalarSlots.map((name, slot) => [name, scalarSlots[slot]!])),
  };
  const next = { param: param.slice(), slots: slots.map((slot) => slot.slice()) };
  if (!active) return { ...next, uniforms, step: step - 1, scalarSlots };
  const evaluate = (found: readonly number[]): void => {
    evaluateScalars(program, { ...inputs, sums: found }, registers);
    for (const [index, source] of program.uniforms.entries()) {
      uniforms[index] = source.from === "scalar" ? registers[source.register]! : 1;
    }
  };
  evaluate([]);
  const vectors = [next.param, grad, ...next.slots];
  runPasses(arrayKernels(), "reduce", program, vectors, uniforms, sums);
  evaluate([...sums].map(Math.sqrt));
  runPasses(arrayKernels(), "update", program, vectors, uniforms);
  const after = program.scalarOutputs.map((register) => registers[register]!);
  return { ...next, uniforms, step, scalarSlots: after };
}

const lengths = [1, 3, 4, 5, 64, 65, 4096, 4097, 9001];
const random = randomNumbers(13);

const all: readonly (readonly [string, UpdateRule, readonly number[]])[] = [
  ["LAMB", rules.lamb(), []],
  ["LARS", rules.lars(), []],
  ["NovoGrad", rules.novograd({ weightDecay: 0.1 }), [0.25]],
  ["NovoGrad at its first step", rules.novograd(), [0]],
  ["NovoGrad with amsgrad", rules.novograd({ amsgrad: true }), [0.25, 0.5]],
  ["StableAdamW", rules.stableAdamw({ eps: 1e-3 }), []],
  ["MARS", rules.mars({ eps: 1e-3, weightDecay: 0.1 }), []],
  ["MARS-Lion", rules.marsLion({ gamma: 0.5 }), []],
  ["Lookahead(LAMB)", rules.lookahead(rules.lamb()), [2]],
  ["Cautious(Adam)", rules.cautious(rules.adam()), []],
  ["Cautious(NAdam)", rules.cautious(rules.nadam()), [0.8]],
];

describe.each(all)("%s", (_, rule, scalarSlots) => {
  const program = programOf(rule);
  const parametersOf = (size: number): TestParameter[] =>
    lengths.map((length, index) => ({
      param: ordinaryArray(random, length),
      grad: ordinaryArray(random, length).map((x) => size * x),
      slots: program.slots.map(() => ordinaryArray(random, length).map(Math.abs)),
      active: index !== 3,
    }));

  test.each(["vec4", "scalar"] as const)("a step as the reference makes it, %s", async (access) => {
    const parameters = parametersOf(1);
    const found = await onDevice(rule, program, access, parameters, 3, scalarSlots);
    for (const [index, parameter] of parameters.entries()) {
      const expected = onHost(rule, program, parameter, 3, scalarSlots);
      const mine = found[index]!;
      expect(mine.step).toBe(expected.step);
      // A norm sums up to 64 elements a lane in float32, and these sums; its relative error is a few 1e-7.
      const uniforms = parameter.active === true ? mine.uniforms : expected.uniforms;
      expect(relativeDifference(uniforms, expected.uniforms)).toBeLessThanOrEqual(1e-6);
      expect(relativeDifference(mine.scalarSlots, expected.scalarSlots)).toBeLessThanOrEqual(1e-6);
      for (const [place, vector] of [expected.param, ...expected.slots].entries()) {
        expect(
          relativeDifference(place === 0 ? mine.param : mine.slots[place - 1]!, vector, 2e-6),
        ).toBeLessThanOrEqual(1e-5);
      }
    }
  });

  test.each([1e30, 1e-30])("norms of gradients of %d", async (size) => {
    // NovoGrad keeps the squared norm, which float32 cannot hold here.
    if (rule.name === "NovoGrad") return;
    const parameters = parametersOf(size).map((parameter) => ({
      ...parameter,
      slots: program.slots.map(() => new Float32Array(parameter.param.length)),
    }));
    const found = await onDevice(rule, program, "vec4", parameters, 1, scalarSlots);
    for (const [index, parameter] of parameters.entries()) {
      if (parameter.active === false) continue;
      const { uniforms } = onHost(rule, program, parameter, 1, scalarSlots);
      expect(relativeDifference(found[index]!.uniforms, uniforms, 1e-37)).toBeLessThanOrEqual(1e-6);
    }
  });
});

describe.each([
  ["LAMB", rules.lamb(), []],
  ["LAMB without weight decay", rules.lamb({ weightDecay: 0, trustClip: true }), []],
  ["LARS", rules.lars({ lr: 1 }), []],
  ["LARS with weight decay", rules.lars({ lr: 1, weightDecay: 0.1, trustClip: true }), []],
  ["Lookahead(LARS)", rules.lookahead(rules.lars({ weightDecay: 0.1 })), [4]],
] as const)("%s where norms are above the largest float32", (_, rule, scalarSlots) => {
  const program = programOf(rule);
  // Of 3e38 each, 64 elements have a norm of 2.4e39, and 9,001 one of 2.8e40; the largest float32 is 3.4e38.
  const tensor = (size: number, length: number): Float32Array =>
    Float32Array.from({ length }, (_, index) => (index % 3 === 0 ? -size : size));

  test.each([
    ["parameters", 3e38, 1],
    ["gradients", 1e10, 3e38],
    ["both", 3e38, 3e38],
    ["both, one of a size by itself", 3e38, 1e20],
  ])("those of %s", async (_, param, grad) => {
    const parameters = [1, 64, 9001].map((length) => ({
      param: tensor(param, length),
      grad: tensor(grad, length),
      slots: program.slots.map(() => new Float32Array(length)),
    }));
    const found = await onDevice(rule, program, "vec4", parameters, 1, scalarSlots);
    for (const [index, parameter] of parameters.entries()) {
      const expected = onHost(rule, program, parameter, 1, scalarSlots);
      expect(relativeDifference(found[index]!.uniforms, expected.uniforms, 1e-37)).toBeLessThanOrEqual(1e-6);
      expect(relativeDifference(found[index]!.param, expected.param, 1e-30)).toBeLessThanOrEqual(1e-5);
      expect(expected.param.every(Number.isFinite)).toBe(true);
    }
  });
});

// Every operation on a norm n of 2.8e40, in terms that are ordinary numbers.
const terms: Readonly<Record<string, (n: Scalar) => Scalar>> = {
  quotient: (n) => div(n, mul(4, n)),
  difference: (n) => div(sub(n, mul(0.5, n)), n),
  "sum with what is small beside it": (n) => div(add(n, 1), n),
  root: (n) => div(sqrt(n), 1e20),
  "root of a square": (n) => div(sqrt(mul(n, n)), n),
  "quotient of powers": (n) => div(mul(mul(n, n), n), mul(n, mul(n, n))),
  "sign of its negative": (n) => sign(neg(n)),
  "size of its negative": (n) => div(abs(neg(n)), n),
  "the lesser": (n) => min(n, 1e-30),
  "the lesser, the other way": (n) => min(1e-30, n),
  "the greater": (n) => div(max(1e-30, n), n),
  comparison: (n) => select(gt(n, 1), 3, 4),
  "comparison with its like": (n) => select(eq(n, mul(1, n)), 3, 4),
  "choice of what is small": (n) => select(gt(n, mul(2, n)), n, 1e-30),
  "what a float32 cannot hold": (n) => div(1, mul(n, 1e30)),
};

test.each(Object.entries(terms))("a norm above the largest float32: %s", async (_, term) => {
  const rule = defineUpdateRule({
    name: "Test",
    hyperparameters: { lr: 1 },
    slots: () => ({}),
    update: (x) => ({ param: mul(x.grad, term(norm(x.param))) }),
  })();
  const parameter = {
    param: new Float32Array(9001).fill(3e38),
    grad: new Float32Array(9001).fill(1),
    slots: [],
  };
  const program = programOf(rule);
  const [found] = await onDevice(rule, program, "vec4", [parameter], 1, []);
  const { uniforms } = onHost(rule, program, parameter, 1, []);
  expect(relativeDifference(found!.uniforms, uniforms, 1e-37)).toBeLessThanOrEqual(1e-6);
});

test("cautious counts to the last element", async () => {
  // 9,001 elements, of which 1 in 7 goes down the gradient: ‖φ‖₀ = 1286, and the step is scaled by 9001 ÷ 1287.
  const rule = rules.cautious(rules.sgd({ lr: 1, momentum: 0.5 }));
  const program = programOf(rule);
  const length = 9001;
  const param = new Float32Array(length);
  const grad = new Float32Array(length).fill(1);
  // momentum 0.5 × −4 + 1 is −1; × 0 is 1.
  const momentum = Float32Array.from({ length }, (_, index) => (index % 7 === 0 ? 0 : -4));
  const [found] = await onDevice(rule, program, "vec4", [{ param, grad, slots: [momentum] }], 1, []);
  expect(found!.param[7]).toBe(Math.fround(-9001 / 1287));
  expect(found!.param[8]).toBe(0);
});
