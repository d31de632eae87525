import { readFileSync } from "node:fs";
import {
  type Checkpoint,
  decodeCheckpoint,
  decodeSafetensors,
  encodeCheckpoint,
  encodeSafetensors,
  restoreCheckpoint,
  type SafetensorsContent,
  takeCheckpoint,
} from "@mm/optim-checkpoint";
import { createOptimWrapper, type OptimErrorCode, type OptimWrapperStateDict } from "@mm/optim-core";
import { novograd, sgd } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { wasmOptimizer } from "@mm/optim-wasm";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, test } from "vitest";
import { gan, gradientsOf, trained } from "./model.ts";
import { refusal } from "../../../test-support/refusal.ts";

beforeAll(() => {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  return tf.setBackend("cpu");
});

const throughFile = async (checkpoint: Checkpoint) => decodeCheckpoint(encodeCheckpoint(checkpoint).bytes());

test("a run that is saved to a file anywhere and resumed equals one that is not, to the bit", async () => {
  const iterations = 8;
  const whole = trained(iterations);
  for (let interrupted = 0; interrupted <= iterations; interrupted += 1) {
    const first = trained(interrupted);
    const file = await throughFile(await takeCheckpoint(first.optim, { extra: { interrupted } }));
    const second = gan();
    expect(await restoreCheckpoint(second.optim, file)).toEqual({
      missing: [],
      unexpected: [],
      changed: [],
      defaulted: [],
    });
    expect(file.extra).toEqual({ interrupted });
    for (let n = interrupted; n < iterations; n += 1) second.train(n);
    expect(await second.all()).toEqual(await whole.all());
  }
});

test("a file that the first version wrote is read by every later one", async () => {
  // Of four iterations: the generator is in mid-window, one step is done. Not to be written again.
  const file = await decodeCheckpoint(
    readFileSync(new URL("fixtures/version-1.safetensors", import.meta.url)),
  );
  expect(file.extra).toEqual({ n: 4, loss: Number.NaN });
  const [run, straight] = [gan(), trained(4)];
  await restoreCheckpoint(run.optim, file);
  expect(await run.all()).toEqual(await straight.all());
  for (const each of [run, straight]) for (const n of [4, 5, 6]) each.train(n);
  expect(await run.all()).toEqual(await straight.all());
});

test("what tensors there are, and under which keys", async () => {
  const { optim } = trained(1);
  const { tensors } = await decodeSafetensors(encodeCheckpoint(await takeCheckpoint(optim)).bytes());
  expect([...tensors.keys()]).toEqual([
    "generator.dense/kernel%3A0",
    "generator.dense/bias",
    "discriminator.100%25",
    "discriminator.__proto__",
    // The generator is in mid-window, before its first step.
    "optim:generator:state:dense/kernel%3A0:grad",
    "optim:generator:state:dense/bias:grad",
    "optim:discriminator:state:100%25:momentumBuffer",
    "optim:discriminator:state:__proto__:momentumBuffer",
  ]);
  expect(tensors.get("optim:discriminator:state:100%25:momentumBuffer")?.shape).toEqual([4]);
});

test("a wrapper alone, and its shapes", async () => {
  const kernel = tf.variable(tf.zeros([3, 2]));
  const wrapper = createOptimWrapper(tfjsOptimizer(sgd({ lr: 1, momentum: 0.5 }), { kernel }));
  wrapper.updateParams(() => tf.sum(kernel));
  const checkpoint = await takeCheckpoint(wrapper);
  const { tensors } = await decodeSafetensors(encodeCheckpoint(checkpoint).bytes());
  expect([...tensors].map(([key, { shape }]) => [key, shape])).toEqual([
    ["kernel", [3, 2]],
    ["optim:state:kernel:momentumBuffer", [3, 2]],
  ]);
  expect((await throughFile(checkpoint)).optim).toEqual(checkpoint.optim);
});

test("the state of a tf.train optimizer, which only its own kind reads", async () => {
  const model = () => {
    const w = tf.variable(tf.tensor1d([1, 2]));
    return { w, wrapper: createOptimWrapper(tfjsOptimizer(tf.train.adam(0.1), { w })) };
  };
  const [first, second] = [model(), model()];
  const loss = (w: tf.Variable) => () => tf.sum<tf.Scalar>(tf.square(w));
  first.wrapper.updateParams(loss(first.w));
  const file = await throughFile(await takeCheckpoint(first.wrapper));
  const names = Object.keys((file.optim as OptimWrapperStateDict).optimizer.native ?? {});
  expect(names).toContain("accBeta1");
  await restoreCheckpoint(second.wrapper, file);
  for (const { w, wrapper } of [first, second]) wrapper.updateParams(loss(w));
  expect(await second.w.data()).toEqual(await first.w.data());
});

test("numbers that are not finite, in slots and scalar slots, come back", async () => {
  const w = Float32Array.of(1, 2);
  const wrapper = createOptimWrapper(wasmOptimizer(novograd(), { w }));
  wrapper.updateParams(({ grad }) => {
    grad("w").set([Infinity, 1]);
    return 0;
  });
  const checkpoint = await takeCheckpoint(wrapper);
  const [parameter] = (checkpoint.optim as OptimWrapperStateDict).optimizer.params;
  expect(parameter?.scalarSlots).toEqual({ expAvgSq: Infinity });
  const file = await throughFile(checkpoint);
  expect(file.optim).toEqual(checkpoint.optim);
  await restoreCheckpoint(wrapper, file);
});

test("names that are empty, long, not ASCII, or those that objects have", async () => {
  const names = [
    "",
    "__metadata__",
    "__proto__",
    "constructor",
    "optim:state:w:expAvg",
    "重み",
    "😀",
    "x".repeat(100_000),
  ];
  const tensors = Object.fromEntries(names.map((name, index) => [name, Float32Array.of(index)]));
  const file = await throughFile({ tensors });
  expect(Object.keys(file.tensors).sort()).toEqual([...names].sort());
  for (const [index, name] of names.entries())
    expect(file.tensors[name]?.data).toEqual(Float32Array.of(index));
  expect(Object.getPrototypeOf(file.tensors)).toBeNull();
  expect(file).toMatchObject({ extra: undefined });
  expect("optim" in file).toBe(false);
});

describe("the JSON schema", () => {
  const schema = JSON.parse(
    readFileSync(new URL("../schema/checkpoint.json", import.meta.url), "utf8"),
  ) as object;
  const ajv = new Ajv2020({ allowUnionTypes: true });
  ajv.addSchema(schema, "checkpoint");
  const valid = (where: string, value: unknown): boolean => {
    const validate = ajv.getSchema(`checkpoint${where}`);
    if (validate === undefined) throw new Error(`no schema at ${where}`);
    return validate(value) as boolean;
  };
  const metadataOf = async (checkpoint: Checkpoint) =>
    (await decodeSafetensors(encodeCheckpoint(checkpoint).bytes())).metadata;

  test.each([0, 1, 2, 3, 7])("holds what is written after %d iterations", async (iterations) => {
    const { optim } = trained(iterations);
    const extra = { loss: Number.NaN, $: [-0, null, "text", true, { nested: {} }] };
    for (const wrappers of [optim, optim.get("generator"), optim.get("discriminator")]) {
      const metadata = await metadataOf(await takeCheckpoint(wrappers, { extra }));
      expect(valid("", Object.fromEntries(metadata))).toBe(true);
      expect(valid("#/$defs/optim", JSON.parse(metadata.get("optim") ?? ""))).toBe(true);
      expect(valid("#/$defs/plain", JSON.parse(metadata.get("extra") ?? ""))).toBe(true);
    }
  });

  test("refuses what is not", async () => {
    const metadata = await metadataOf(await takeCheckpoint(trained(4).optim));
    const text = metadata.get("optim") ?? "";
    for (const [from, to] of [
      ['"version":1', '"version":2'],
      ['"optim-wrapper-dict"', '"optim-dict"'],
      ['"innerCount":4', '"innerCount":-4'],
      ['"amsgrad":true', '"amsgrad":"yes"'],
      ['"slots":["expAvg"', '"slots":["expAvg","expAvg"'],
      ['"shape":[6]', '"shape":[6.5]'],
      ['"steps":', '"Steps":'],
    ] as const) {
      expect(text).toContain(from);
      expect(valid("#/$defs/optim", JSON.parse(text.replace(from, to)))).toBe(false);
    }
    expect(valid("", { "optim-checkpoint": "2" })).toBe(false);
    expect(valid("#/$defs/plain", { $number: "7" })).toBe(false);
  });
});

type Edit = (content: SafetensorsContent) => SafetensorsContent;

const entry =
  (name: string, edit: (text: string) => string | undefined): Edit =>
  ({ tensors, metadata }) => {
    const text = edit(metadata.get(name) ?? "");
    const others = [...metadata].filter(([key]) => key !== name);
    return { tensors, metadata: new Map(text === undefined ? others : [...others, [name, text]]) };
  };
const replaced = (from: string, to: string): Edit =>
  entry("optim", (text) => {
    expect(text).toContain(from);
    return text.replace(from, to);
  });

test.each<[string, Edit]>([
  ["no checkpoint at all", () => ({ tensors: new Map(), metadata: new Map() })],
  ["no version", entry("optim-checkpoint", () => undefined)],
  ["a later version", entry("optim-checkpoint", () => "2")],
  ["version 0", entry("optim-checkpoint", () => "0")],
  ["half a version", entry("optim-checkpoint", () => "1.5")],
  ["a state that is no JSON", entry("optim", () => "{")],
  ["a state that is null", entry("optim", () => "null")],
  ["a state that is a list", entry("optim", () => "[]")],
  ["a state without its wrappers", entry("optim", () => '{"format":"optim-wrapper-dict","version":1}')],
  ["tensors that nobody asks for", entry("optim", () => undefined)],
  ["extra that is no JSON", entry("extra", () => "nothing")],
  ["a slot without its tensor", replaced('"slots":["expAvg"', '"slots":["expAvg","more"')],
  ["a slot twice", replaced('"slots":["expAvg"', '"slots":["expAvg","expAvg"')],
  ["a slot less", replaced('"slots":["expAvg",', '"slots":[')],
  ["another shape", replaced('"shape":[6]', '"shape":[3,2]')],
  ["a parameter twice", replaced('"name":"dense/bias"', '"name":"dense/kernel:0"')],
  ["native state that is not there", replaced('"steps":', '"native":["accBeta1"],"steps":')],
  ["params that are a record", replaced('"params":[{', '"params":{},"":[{')],
  [
    "a state that is nested deeply",
    entry("optim", () => `{"format":${"[".repeat(5000)}${"]".repeat(5000)}}`),
  ],
  [
    "a tensor of another type",
    ({ tensors, metadata }) => ({
      metadata,
      tensors: new Map(
        [...tensors].map(([key, { shape, data }]) => [
          key,
          { dtype: "I32", shape, data: Int32Array.from(data as Float32Array) },
        ]),
      ),
    }),
  ],
  [
    "a key that is none",
    ({ tensors, metadata }) => ({
      metadata,
      tensors: new Map([...tensors, ["100%", { dtype: "U8", shape: [0], data: new Uint8Array() }]]),
    }),
  ],
  [
    "two keys of one name",
    ({ tensors, metadata }) => ({
      metadata,
      tensors: new Map([
        ...tensors,
        ...["a", "%61"].map((key) => [key, { dtype: "U8", shape: [0], data: new Uint8Array() }] as const),
      ]),
    }),
  ],
])("%s is refused", async (_, edit) => {
  const checkpoint = await takeCheckpoint(trained(4).optim, { extra: 1 });
  const { tensors, metadata } = edit(await decodeSafetensors(encodeCheckpoint(checkpoint).bytes()));
  const { crc32, ...texts } = Object.fromEntries(metadata);
  const bytes = encodeSafetensors(tensors, texts).bytes();
  expect((await refusal(() => decodeCheckpoint(bytes))).code).toBe("invalid-state");
  expect(crc32?.length ?? 8).toBe(8);
});

test("a later version is told apart from another file", async () => {
  const later = encodeSafetensors([], { "optim-checkpoint": "9" }).bytes();
  expect((await refusal(() => decodeCheckpoint(later))).message).toContain("A later release wrote it");
  const other = encodeSafetensors([], {}).bytes();
  expect((await refusal(() => decodeCheckpoint(other))).message).toContain("decodeSafetensors");
});

const shortSlot = {
  format: "optim-wrapper",
  optimizer: { params: [{ name: "w", shape: [2], slots: { expAvg: new Float32Array(1) } }] },
};

test.each<[string, unknown, OptimErrorCode]>([
  ["a state that is none", { optim: {} }, "invalid-state"],
  ["a state whose slot has another length", { optim: shortSlot }, "invalid-option"],
  ["a tensor that is a list", { tensors: { w: [1, 2] } }, "invalid-option"],
  ["a tensor that is null", { tensors: { w: null } }, "invalid-option"],
  ["a clamped array", { tensors: { w: new Uint8ClampedArray(1) } }, "invalid-option"],
  [
    "a shape of another size",
    { tensors: { w: { shape: [3], data: new Float32Array(2) } } },
    "invalid-option",
  ],
  [
    "a type that is another's",
    { tensors: { w: { dtype: "I32", shape: [1], data: new Float32Array(1) } } },
    "invalid-option",
  ],
  [
    "a type that is none",
    { tensors: { w: { dtype: "F8", shape: [1], data: new Uint8Array(1) } } },
    "invalid-option",
  ],
  ["a name that is half a character", { tensors: { "\ud83d": new Float32Array(1) } }, "invalid-name"],
  ["extra that is not plain", { extra: { when: new Date() } }, "invalid-option"],
  ["more than 100 MB beside the tensors", { extra: "x".repeat(100_000_000) }, "unsupported"],
])("%s is refused where it is written", async (_, checkpoint, code) => {
  expect((await refusal(async () => encodeCheckpoint(checkpoint as Checkpoint))).code).toBe(code);
});

test("what is encoded is neither changed nor kept", async () => {
  const checkpoint = await takeCheckpoint(trained(4).optim, { extra: { a: [1] } });
  const before = structuredClone(checkpoint);
  const bytes = encodeCheckpoint(checkpoint).bytes();
  expect(checkpoint).toEqual(before);
  (checkpoint.extra as { a: number[] }).a.push(2);
  expect((await decodeCheckpoint(bytes)).extra).toEqual({ a: [1] });
});

test("gradients carry over only where they are wanted", async () => {
  const { optim } = trained(1);
  const file = await throughFile(await takeCheckpoint(optim, { pending: false }));
  const { wrappers } = file.optim as Awaited<ReturnType<typeof optim.stateDict>>;
  expect(wrappers.generator.optimizer.params.map(({ gradient }) => gradient)).toEqual([undefined, undefined]);
  optim.get("generator").updateParams(gradientsOf(1, [["dense/bias", 2]]));
});
