import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeTorchState, encodeTorchState, takeCheckpoint } from "@mm/optim-checkpoint";
import { withFile, writeCheckpoint, writeFile } from "@mm/optim-checkpoint/node";
import { referenceOptimizer } from "@mm/optim-conformance";
import { type AnyOptimWrapper, createOptimWrapper, type OptimWrapperStateDict } from "@mm/optim-core";
import { OptimWrapperDict, type OptimWrapperDictStateDict } from "@mm/optim-dict";
import * as rules from "@mm/optim-rules";
import type { UpdateRule } from "@mm/optim-core/rule";
import { afterAll, describe, expect, test } from "vitest";

// With Debian's python3-torch. Elsewhere this folder is not run, and the summary says so.

const place = mkdtempSync(join(tmpdir(), "optim-checkpoint-torch-"));
afterAll(() => rmSync(place, { recursive: true }));
const script = fileURLToPath(new URL("round_trip.py", import.meta.url));

type Values = { readonly [name: string]: readonly number[] };
type Slots = { readonly [slot: string]: readonly number[] };

interface Case {
  readonly type: string;
  readonly args: { readonly [name: string]: unknown };
  readonly rule: UpdateRule;
}

function python(cases: readonly object[]): readonly unknown[] {
  const spec = join(place, "spec.json");
  writeFileSync(spec, JSON.stringify(cases));
  return JSON.parse(
    execFileSync("/usr/bin/python3", [script, spec], { encoding: "utf8" }),
  ) as readonly unknown[];
}

const shapes = { "layers.0.weight": [3, 2], "100%:": [2], bias: [1] };
const names = Object.keys(shapes) as (keyof typeof shapes)[];
const groups = [
  { params: names.slice(0, 2), options: {} },
  { params: names.slice(2), options: { lr: 0.02 } },
];

const values = (n: number): Values =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape], index) => [
      name,
      Array.from({ length: shape.reduce((a, b) => a * b) }, (_, at) =>
        Math.fround(Math.sin(n * 7 + index * 3 + at)),
      ),
    ]),
  );
const gradients = Array.from({ length: 9 }, (_, n) => values(n + 1));

/** A wrapper over arrays that begin with `initial`. Its groups have names, which PyTorch's have not. */
function wrapped(rule: UpdateRule, initial: Values) {
  const data = Object.fromEntries(
    Object.entries(initial).map(([name, list]) => [name, Float32Array.from(list)]),
  );
  const params = (of: readonly (keyof typeof shapes)[]) =>
    Object.fromEntries(of.map((name) => [name, { data: data[name] as Float32Array, shape: shapes[name] }]));
  const wrapper = createOptimWrapper(
    referenceOptimizer(rule, [
      { name: "body", params: params(names.slice(0, 2)) },
      { name: "head", params: params(names.slice(2)), lr: 0.5 },
    ]),
  );
  return {
    data,
    wrapper,
    train(begin: number, end: number) {
      for (const step of gradients.slice(begin, end)) {
        wrapper.updateParams(({ grad }) => {
          for (const name of names) grad(name).set(step[name] as readonly number[]);
          return 0;
        });
      }
    },
  };
}

const cases: readonly Case[] = [
  { type: "SGD", args: { lr: 0.1 }, rule: rules.sgd() },
  {
    type: "SGD",
    args: { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.1 },
    rule: rules.sgd({ momentum: 0.5 }),
  },
  { type: "SGD", args: { lr: 0.1, momentum: 0.9, dampening: 0.5 }, rule: rules.sgd({ momentum: 0.5 }) },
  { type: "Adam", args: { lr: 0.1, betas: [0.8, 0.99] }, rule: rules.adam() },
  { type: "Adam", args: { lr: 0.1, amsgrad: true, weight_decay: 0.1, maximize: true }, rule: rules.adam() },
  { type: "AdamW", args: { lr: 0.1, amsgrad: true }, rule: rules.adamw() },
  { type: "RMSprop", args: { lr: 0.1, centered: true, momentum: 0.9 }, rule: rules.rmsprop() },
  {
    type: "Adagrad",
    args: { lr: 0.1, lr_decay: 0.1, initial_accumulator_value: 0.5 },
    rule: rules.adagrad(),
  },
  { type: "Adadelta", args: { lr: 1 }, rule: rules.adadelta() },
  { type: "Adamax", args: { lr: 0.1 }, rule: rules.adamax() },
  // Its single-tensor path multiplies by a μ too many in 1.13.
  { type: "NAdam", args: { lr: 0.1, foreach: true }, rule: rules.nadam() },
  { type: "RAdam", args: { lr: 0.1, betas: [0.9, 0.99] }, rule: rules.radam() },
  { type: "Rprop", args: { lr: 0.1, step_sizes: [1e-4, 1] }, rule: rules.rprop() },
  { type: "ASGD", args: { lr: 0.1, t0: 2 }, rule: rules.asgd() },
];

/** As close as recorded trajectories have to be: 5e-6 + 1e-5 × |b|. */
function expectClose(data: Values, torch: Values): void {
  for (const [name, list] of Object.entries(torch)) {
    for (const [at, value] of list.entries()) {
      expect(Math.abs((data[name]?.[at] ?? Number.NaN) - value)).toBeLessThanOrEqual(
        5e-6 + 1e-5 * Math.abs(value),
      );
    }
  }
}

/** Our slots under PyTorch's names, in the order of parameters. */
const slotsOf = (state: OptimWrapperStateDict): readonly Slots[] =>
  state.optimizer.params.map(({ slots }) =>
    Object.fromEntries(
      Object.entries(slots).map(([slot, data]) => [
        slot.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        [...data],
      ]),
    ),
  );

/** Theirs without what is no tensor here. A parameter without state is not in the list: SGD without momentum has none at all. */
const tensorsOf = (state: readonly Slots[]): readonly Slots[] =>
  names.map((_, index) =>
    Object.fromEntries(
      Object.entries(state[index] ?? {}).filter(
        ([slot]) => !["step", "mu_product", "eta", "mu"].includes(slot),
      ),
    ),
  );

/** Scalars: steps, which PyTorch's SGD does not count, and others as they are rounded to float32 there. */
const scalarsOf = ({ optimizer: { rule, params } }: OptimWrapperStateDict): readonly Slots[] =>
  params.map(({ step, scalarSlots: { muProduct, eta, mu } }) => ({
    ...(rule !== "SGD" && step > 0 && { step: [step] }),
    ...(muProduct !== undefined && { mu_product: [Math.fround(muProduct)] }),
    ...(eta !== undefined && { eta: [Math.fround(eta)] }),
    ...(mu !== undefined && { mu: [Math.fround(mu)] }),
  }));

interface There {
  readonly middle: Values;
  readonly state: readonly Slots[];
  readonly end: Values;
}

interface Back {
  readonly state: readonly Slots[];
  readonly options: readonly { readonly [name: string]: unknown }[];
  readonly end: Values;
}

type MmengineState = Readonly<Record<"generator" | "discriminator", readonly Slots[]>>;

interface MmengineBack extends MmengineState {
  readonly more: unknown;
  readonly lr: number;
}

interface ReadCheckpoint {
  readonly tensors: Values;
  readonly shapes: Values;
  readonly metadata: { readonly [name: string]: string };
}

const file = (name: string): string => join(place, `${name}.safetensors`);
const numbersOf = (data: { readonly [name: string]: Float32Array }): Values =>
  Object.fromEntries(Object.entries(data).map(([name, array]) => [name, [...array]]));

// PyTorch takes seconds to load, so each way is one process: what it begins is written first, then what it takes over.
const of = (type: string, args: object) => ({ type, args, groups, shapes, gradients, initial: values(0) });
const specs = cases.map(({ type, args }, index) => ({
  ...of(type, args),
  there: file(`there-${index}`),
  back: file(`back-${index}`),
}));
const mmengine = {
  kind: "mmengine",
  generator: of("Adam", { lr: 0.1 }),
  discriminator: of("SGD", { lr: 0.2, momentum: 0.5 }),
};
const [mmengineBegan, ...began] = python([
  { ...mmengine, there: file("mmengine") },
  ...specs.map((spec) => ({ ...spec, kind: "there" })),
]) as readonly [MmengineState, ...There[]];

const runs = await Promise.all(
  cases.map(async ({ rule }, index) => {
    const spec = specs[index]!;
    const here = wrapped(rule, began[index]!.middle);
    await here.wrapper.loadStateDict(
      (await withFile(spec.there, (source) =>
        decodeTorchState(source, here.wrapper),
      )) as OptimWrapperStateDict,
    );
    const taken = await here.wrapper.stateDict();
    const lr = here.wrapper.getLr().lr;
    here.train(3, 6);
    const after = await here.wrapper.stateDict();
    await writeFile(spec.back, encodeTorchState(after));
    return { here, taken, lr, middle: numbersOf(here.data), after };
  }),
);

const dict = (() => {
  const generator = wrapped(rules.adam(), values(0)).wrapper as AnyOptimWrapper;
  const sgd = referenceOptimizer(rules.sgd({ momentum: 0.9 }), [
    {
      params: {
        "layers.0.weight": { data: new Float32Array(6), shape: [3, 2] },
        "100%:": new Float32Array(2),
      },
    },
    { params: { bias: new Float32Array(1) } },
  ]);
  const discriminator = createOptimWrapper(sgd, { lossScale: "dynamic" }) as AnyOptimWrapper;
  return new OptimWrapperDict({ generator, discriminator });
})();
const loaded = await withFile(file("mmengine"), (source) =>
  decodeTorchState(source, dict, { innerCount: 3 }),
);
await dict.loadStateDict(loaded as OptimWrapperDictStateDict);
const dictState = await dict.stateDict();
const dictLr = dict.getLr();
dict.get("generator").paramGroups[0].lr = 0.25;
await writeFile(file("mmengine-back"), encodeTorchState(await dict.stateDict()));

const adam = wrapped(rules.adam(), values(0));
adam.train(0, 2);
const checkpoint = await takeCheckpoint(adam.wrapper, { extra: { epoch: 2 } });
await writeCheckpoint(file("checkpoint"), checkpoint);

const documented = { short: file("documented"), long: file("exported") };
const [documentedNames, read, mmengineEnded, ...ended] = python([
  { ...of("AdamW", { lr: 0.1 }), ...documented, kind: "documented" },
  { kind: "checkpoint", file: file("checkpoint") },
  { ...mmengine, back: file("mmengine-back") },
  ...specs.map((spec, index) => ({ ...spec, kind: "back", values: runs[index]!.middle })),
]) as readonly [readonly string[], ReadCheckpoint, MmengineBack, ...Back[]];

describe("a run that PyTorch begins goes on here and ends in PyTorch", () => {
  test.each(cases.map((entry, index) => ({ ...entry, index })))("$type $args", ({ args, index }) => {
    const [{ here, taken, lr, middle, after }, there, back] = [runs[index]!, began[index]!, ended[index]!];
    // There and here the same tensors, to the bit, and numbers.
    expect(slotsOf(taken)).toEqual(tensorsOf(there.state));
    expect(there.state).toMatchObject(scalarsOf(taken).slice(0, there.state.length));
    expect(lr).toEqual([args["lr"], 0.02]);
    expectClose(middle, there.end);

    expect(tensorsOf(back.state)).toEqual(slotsOf(after));
    expect(back.state).toMatchObject(scalarsOf(after).slice(0, back.state.length));
    expect(back.options.map((options) => options["lr"])).toEqual([args["lr"], 0.02]);
    here.train(6, 9);
    expectClose(numbersOf(here.data), back.end);
  });
});

test("the optimizer entry of an MMEngine checkpoint with an OptimWrapperDict", () => {
  expect(dictLr).toEqual({
    "generator.baseLr": [expect.any(Number)],
    "generator.lr": [0.1, 0.02],
    "discriminator.baseLr": [0.7],
    "discriminator.lr": [0.2, 0.02],
  });
  const { generator, discriminator } = dictState.wrappers;
  expect(discriminator.lossScaler).toMatchObject({ scale: 1024, growthTracker: 6 });
  expect([generator.counts.innerCount, discriminator.counts.innerCount]).toEqual([3, 3]);
  expect(slotsOf(generator)).toEqual(tensorsOf(mmengineBegan.generator));
  expect(slotsOf(discriminator)).toEqual(tensorsOf(mmengineBegan.discriminator));

  expect(mmengineEnded).toMatchObject({
    ...mmengineBegan,
    more: {
      base_param_settings: { lr: 0.7, momentum: 0.5 },
      loss_scaler: { scale: 1024, _growth_tracker: 6 },
    },
    lr: 0.25,
  });
});

test("a checkpoint is read in Python, tensor by tensor", () => {
  const state = checkpoint.optim as OptimWrapperStateDict;
  for (const { name, slots } of state.optimizer.params) {
    const key = name.replace("%", "%25").replace(":", "%3A");
    expect(read.tensors[key]).toEqual([...(adam.data[name] ?? [])]);
    expect(read.shapes[key]).toEqual(shapes[name as keyof typeof shapes]);
    expect(read.tensors[`optim:state:${key}:expAvg`]).toEqual([...(slots["expAvg"] ?? [])]);
  }
  expect(Object.keys(read.tensors).length).toBe(3 * names.length);
  expect(JSON.parse(read.metadata["extra"] ?? "")).toEqual({ epoch: 2 });
  expect(read.metadata["optim-checkpoint"]).toBe("1");
});

test("the lines that the documentation shows write what the script writes", async () => {
  const wrapper = createOptimWrapper(
    referenceOptimizer(
      rules.adamw(),
      Object.fromEntries(
        documentedNames.map((name, at) => {
          const shape = Object.values(shapes)[at] ?? [];
          return [name, { data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape }];
        }),
      ),
    ),
  );
  const [short, long] = await Promise.all(
    [documented.short, documented.long].map((path) =>
      withFile(path, (source) => decodeTorchState(source, wrapper)),
    ),
  );
  expect(short).toEqual(long);
  expect((short as OptimWrapperStateDict).optimizer.params.map(({ step }) => step)).toEqual([3, 3, 3]);
});
