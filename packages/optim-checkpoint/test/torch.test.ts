import { readFileSync } from "node:fs";
import {
  decodeSafetensors,
  decodeTorchState,
  encodeSafetensors,
  encodeTorchState,
  type SafetensorsContent,
} from "@mm/optim-checkpoint";
import {
  createOptimWrapper,
  isOptimError,
  type OptimWrapper,
  type OptimWrapperStateDict,
} from "@mm/optim-core";
import { OptimWrapperDict, type OptimWrapperDictStateDict } from "@mm/optim-dict";
import { adam, adamw, muon, nadam, sgd } from "@mm/optim-rules";
import { type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";

// Written with python/optim_state.py by PyTorch 1.13.1, over zeros [3, 2] and [2], in three steps with gradients of 1, 2 and 3 everywhere.
const fixture = (name: string): Uint8Array =>
  readFileSync(new URL(`fixtures/${name}.safetensors`, import.meta.url));

// β₁ = 0.5: m = 0.5; 0.25 + 1; 0.625 + 1.5. β₂ = 0.75: v = 0.25; 0.1875 + 1; 0.890625 + 2.25. All are exact in float32.
const [expAvg, expAvgSq] = [2.125, 3.140625];

const zeros = () => ({ "layers.0.weight": new Float32Array(6), "layers.0.bias": new Float32Array(2) });

function adamwOver(rename = (name: string) => name) {
  const { "layers.0.weight": weight, "layers.0.bias": bias } = zeros();
  return createOptimWrapper(
    wasmOptimizer(adamw(), [
      { name: "kernels", params: { [rename("layers.0.weight")]: weight } },
      { name: "biases", params: { [rename("layers.0.bias")]: bias }, weightDecay: 0.5 },
    ]),
  );
}

test("AdamW of PyTorch, by name, with its groups", async () => {
  const wrapper = adamwOver();
  const state = (await decodeTorchState(fixture("torch-adamw"), wrapper, {
    innerCount: 9,
  })) as OptimWrapperStateDict;
  expect(state.counts).toEqual({ innerCount: 9, windowStart: 9, weightSum: 0 });
  await wrapper.loadStateDict(state);
  const { optimizer } = await wrapper.stateDict();
  expect(optimizer.params).toEqual(
    [6, 2].map((length, index) => ({
      name: Object.keys(zeros())[index],
      shape: [length],
      step: 3,
      slots: {
        expAvg: new Float32Array(length).fill(expAvg),
        expAvgSq: new Float32Array(length).fill(expAvgSq),
      },
      scalarSlots: {},
    })),
  );
  expect(optimizer.steps).toBe(3);
  // Under the names that the groups have here; what is off is off, and what only PyTorch has is passed over, `initial_lr` too.
  const hyperparameters = {
    lr: 0.1,
    betas: [0.5, 0.75],
    eps: 1e-8,
    weightDecay: 0.01,
    amsgrad: false,
    maximize: false,
  };
  expect(optimizer.groups.map(({ name, hyperparameters }) => [name, hyperparameters])).toEqual([
    ["kernels", hyperparameters],
    ["biases", { ...hyperparameters, lr: 0.02 }],
  ]);
});

test("AdamW of PyTorch into slots of bfloat16, which round to nearest, ties to even", async () => {
  const { tensors, metadata } = await decodeSafetensors(fixture("torch-adamw"));
  // 8 digits: from 2 on a unit in the last place is 2⁻⁶. 2.125 is 2 + 8 of them; 2 + ½ and 2 + 1½ of them are ties, 2 + ¾ is none.
  const unit = 2 ** -6;
  const averages = [2.125, 2 + 0.5 * unit, 2 + 1.5 * unit, 2 + 0.75 * unit, -2 - 0.5 * unit, 0];
  const rounded = [2.125, 2, 2 + 2 * unit, 2 + unit, -2, 0];
  const name = [...tensors].find(
    ([key, { shape }]) => key.endsWith("exp_avg") && shape.join() === "3,2",
  )?.[0];
  const edited = new Map(tensors).set(name as string, {
    ...(tensors.get(name as string) as NonNullable<ReturnType<typeof tensors.get>>),
    data: Float32Array.from(averages),
  });
  const { "layers.0.weight": weight, "layers.0.bias": bias } = zeros();
  const wrapper = createOptimWrapper(
    wasmOptimizer(
      adamw(),
      [
        { name: "kernels", params: { "layers.0.weight": weight } },
        { name: "biases", params: { "layers.0.bias": bias }, weightDecay: 0.5 },
      ],
      { slotDtype: "bfloat16" },
    ),
  );
  const file = encodeSafetensors(edited, Object.fromEntries(metadata)).bytes();
  await wrapper.loadStateDict((await decodeTorchState(file, wrapper)) as OptimWrapperStateDict);
  const { params } = (await wrapper.stateDict()).optimizer;
  expect(params.map(({ step }) => step)).toEqual([3, 3]);
  expect(params[0]?.slots["expAvg"]).toEqual(Float32Array.from(rounded));
  // 3.140625 is 2 + 73 units.
  expect(params[1]?.slots).toEqual({
    expAvg: new Float32Array(2).fill(expAvg),
    expAvgSq: new Float32Array(2).fill(expAvgSq),
  });
});

test("under other names, and without the learning rates", async () => {
  const rename = (name: string): string => name.replaceAll(".", "/");
  const wrapper = adamwOver(rename);
  const state = await decodeTorchState(fixture("torch-adamw"), wrapper, { rename });
  await wrapper.loadStateDict(state as OptimWrapperStateDict, { restore: { hyperparameters: false } });
  expect(wrapper.getLr().lr).toEqual([1e-3, 1e-3]);
  expect((await wrapper.stateDict()).optimizer.params.map(({ step }) => step)).toEqual([3, 3]);
  const strange = (await decodeTorchState(fixture("torch-adamw"), wrapper)) as OptimWrapperStateDict;
  expect((await refusal(() => wrapper.loadStateDict(strange))).unexpected).toContain("layers.0.weight");
});

test("another rule is refused by what differs, and changes nothing", async () => {
  const wrapper = createOptimWrapper(wasmOptimizer(sgd({ momentum: 0.9 }), zeros()));
  const before = await wrapper.stateDict();
  const state = (await decodeTorchState(fixture("torch-adamw"), wrapper)) as OptimWrapperStateDict;
  const error = await refusal(() => wrapper.loadStateDict(state));
  expect(error.code).toBe("state-mismatch");
  expect(error.unexpected).toContain("layers.0.weight.expAvg");
  expect(await wrapper.stateDict()).toEqual(before);
});

/** The state of the fixture with more in every group. */
async function withOptions(options: object): Promise<Uint8Array> {
  const { tensors, metadata } = await decodeSafetensors(fixture("torch-adamw"));
  const content = JSON.parse(metadata.get("torch-optimizer") ?? "") as {
    param_groups: { params: string[] }[];
  };
  const groups = content.param_groups.map((group) => ({ ...group, ...options }));
  return encodeSafetensors(tensors, {
    "torch-optimizer": JSON.stringify({ ...content, param_groups: groups }),
  }).bytes();
}

// Of AdamW in PyTorch 2.7 and later, made of named parameters and driven by OneCycleLR, CyclicLR and SWALR.
const since27 = {
  decoupled_weight_decay: true,
  param_names: ["layers.0.weight"],
  foreach: null,
  capturable: false,
  differentiable: false,
  fused: null,
  initial_lr: 0.1,
  max_lr: 0.5,
  min_lr: 1e-6,
  swa_lr: 0.05,
  initial_momentum: 0.9,
  max_momentum: 0.95,
  base_momentum: 0.85,
};

test("a state of PyTorch 2.7 or later, as schedulers left it, is that of an earlier one: the learning rates too", async () => {
  const states = await Promise.all(
    [fixture("torch-adamw"), await withOptions(since27)].map(async (bytes) => {
      const wrapper = adamwOver();
      const state = (await decodeTorchState(bytes, wrapper)) as OptimWrapperStateDict;
      const report = await wrapper.loadStateDict(state);
      return { report, lr: wrapper.getLr(), state: await wrapper.stateDict() };
    }),
  );
  expect(states[1]).toEqual(states[0]);
  expect(states[1]?.lr.lr).toEqual([0.1, 0.02]);
});

test("the weight decay of Adam is that of adam() or that of adamw(), and not the other", async () => {
  const load = async (rule: typeof adam, options: object) => {
    const wrapper = createOptimWrapper(wasmOptimizer(rule(), zeros()));
    const bytes = await withOptions({ lr: 0.25, ...options });
    return (await decodeTorchState(bytes, wrapper)) as OptimWrapperStateDict;
  };
  const error = await refusal(() => load(adam, { decoupled_weight_decay: true }));
  expect(error.code).toBe("state-mismatch");
  expect(error.message).toContain("adamw()");
  for (const options of [
    { decoupled_weight_decay: false },
    { decoupled_weight_decay: true, weight_decay: 0 },
  ]) {
    const { optimizer } = await load(adam, options);
    expect(optimizer.groups[0]?.hyperparameters).not.toHaveProperty("decoupledWeightDecay");
    expect(optimizer.groups[0]?.hyperparameters["lr"]).toBe(0.25);
  }
});

test("a rule that has the switch takes it", async () => {
  const wrapper = createOptimWrapper(wasmOptimizer(nadam(), zeros()));
  for (const decoupled of [true, false]) {
    const bytes = await withOptions({ decoupled_weight_decay: decoupled });
    const { optimizer } = (await decodeTorchState(bytes, wrapper)) as OptimWrapperStateDict;
    expect(optimizer.groups[0]?.hyperparameters["decoupledWeightDecay"]).toBe(decoupled);
  }
});

test("an option that is on there and unknown here is kept for the load to tell; one that is off is not", async () => {
  const wrapper = adamwOver();
  const decode = async (options: object) =>
    (await decodeTorchState(await withOptions(options), wrapper)) as OptimWrapperStateDict;
  const { optimizer } = await decode({ of_a_later_version: true, another: 0 });
  const { hyperparameters } = optimizer.groups[0]!;
  expect(hyperparameters).toMatchObject({ lr: 0.1, ofALaterVersion: true });
  expect(hyperparameters).not.toHaveProperty("another");
  const state = await decode({ of_a_later_version: true });
  expect((await wrapper.loadStateDict(state)).unexpected).toContain('group "kernels".ofALaterVersion');
  expect(wrapper.getLr().lr[0]).toBe(0.1);
});

const gan = () => {
  const of = () => ({ weight: new Float32Array(6), bias: new Float32Array(2) });
  const { weight, bias } = of();
  return new OptimWrapperDict({
    generator: createOptimWrapper(wasmOptimizer(adam(), of())),
    discriminator: createOptimWrapper(
      wasmOptimizer(sgd({ momentum: 0.9 }), [{ params: { weight } }, { params: { bias } }]),
      {
        lossScale: "dynamic",
      },
    ),
  });
};

test("an OptimWrapperDict of MMEngine: names, base settings, loss scaler", async () => {
  const dict = gan();
  await dict.loadStateDict(
    (await decodeTorchState(fixture("mmengine-dict"), dict)) as OptimWrapperDictStateDict,
  );
  expect(dict.getLr()).toEqual({
    "generator.lr": [0.1],
    "discriminator.baseLr": [0.2],
    "discriminator.lr": [0.2, 0.02],
  });
  const { generator, discriminator } = (await dict.stateDict()).wrappers;
  expect(generator.optimizer.params[1]?.slots).toEqual({
    expAvg: new Float32Array(2).fill(expAvg),
    expAvgSq: new Float32Array(2).fill(expAvgSq),
  });
  // μ = 0.5: b = 1; 0.5 + 2; 1.25 + 3.
  expect(discriminator.optimizer.params[1]).toMatchObject({
    slots: { momentumBuffer: new Float32Array(2).fill(4.25) },
    scalarSlots: { momentumStarted: 1 },
  });
  expect(discriminator.lossScaler).toMatchObject({ scale: 1024, growthTracker: 6 });
});

test("there and back is the same file, but for what only PyTorch has", async () => {
  for (const [name, optim] of [
    ["torch-adamw", adamwOver()],
    ["mmengine-dict", gan()],
  ] as const) {
    const state = await decodeTorchState(fixture(name), optim);
    const again = await decodeTorchState(encodeTorchState(state).bytes(), optim);
    expect(again).toEqual(state);
    const theirs = await decodeSafetensors(fixture(name));
    const ours = await decodeSafetensors(encodeTorchState(state).bytes());
    expect(Object.fromEntries(ours.tensors)).toEqual(Object.fromEntries(theirs.tensors));
  }
});

test.each([undefined, null, {}, { format: "optim-wrapper-dict" }, { format: "optim-wrapper" }])(
  "%j is no state to be written",
  async (state) => {
    expect((await refusal(async () => encodeTorchState(state as never))).code).toBe("invalid-state");
  },
);

test("wrappers that are not here are refused by name; those that the file lacks, by the load", async () => {
  const others = [...gan()].filter(([name]) => name !== "generator");
  const error = await refusal(() => decodeTorchState(fixture("mmengine-dict"), others));
  expect([error.code, error.unexpected]).toEqual(["state-mismatch", ["generator"]]);
  const dict = gan();
  const more = new OptimWrapperDict({
    generator: dict.get("generator"),
    discriminator: dict.get("discriminator"),
    critic: gan().get("generator"),
  });
  const state = (await decodeTorchState(fixture("mmengine-dict"), more)) as OptimWrapperDictStateDict;
  expect((await refusal(() => more.loadStateDict(state))).missing).toEqual(["critic"]);
});

type Edit = (
  content: SafetensorsContent,
  text: string,
) => readonly [SafetensorsContent["tensors"], string | undefined];

test.each<[string, Edit]>([
  ["another file", ({ tensors }) => [tensors, undefined]],
  ["no JSON", ({ tensors }) => [tensors, "{"]],
  ["null", ({ tensors }) => [tensors, "null"]],
  ["a list", ({ tensors }) => [tensors, "[]"]],
  ["no groups", ({ tensors }) => [tensors, "{}"]],
  ["groups without parameters", ({ tensors }) => [tensors, '{"param_groups":[{}]}']],
  ["positions in the place of names", ({ tensors }) => [tensors, '{"param_groups":[{"params":[0]}]}']],
  [
    "a loss scaler without its scale",
    ({ tensors }, text) => [tensors, text.replace(/}$/, ',"loss_scaler":{}}')],
  ],
  [
    "a key that is none",
    ({ tensors }, text) => [
      new Map([...tensors, ["%", { dtype: "U8", shape: [0], data: new Uint8Array() }]]),
      text,
    ],
  ],
])("%s is refused as a state of PyTorch", async (_, edit) => {
  const content = await decodeSafetensors(fixture("torch-adamw"));
  const [tensors, text] = edit(content, content.metadata.get("torch-optimizer") ?? "");
  const bytes = encodeSafetensors(tensors, text === undefined ? {} : { "torch-optimizer": text }).bytes();
  expect((await refusal(() => decodeTorchState(bytes, adamwOver()))).code).toBe("invalid-state");
});

test("any character of the JSON replaced by any of these: refused with a code, or a state that loads or is refused with one", async () => {
  const { tensors, metadata } = await decodeSafetensors(fixture("torch-adamw"));
  const text = metadata.get("torch-optimizer") ?? "";
  const wrapper: OptimWrapper<WasmLoss, number> = adamwOver();
  const before = await wrapper.stateDict();
  for (let at = 0; at < text.length; at += 1) {
    for (const other of ["0", '"', "[", "}", "-", "null", '"__proto__":', "1e999"]) {
      const edited = text.slice(0, at) + other + text.slice(at + 1);
      const bytes = encodeSafetensors(tensors, { "torch-optimizer": edited }).bytes();
      try {
        wrapper.prepareLoad((await decodeTorchState(bytes, wrapper)) as OptimWrapperStateDict).dispose();
      } catch (error) {
        if (!isOptimError(error)) throw error;
      }
    }
  }
  expect(await wrapper.stateDict()).toEqual(before);
});

describe("several rules in one optimizer here", () => {
  const file = (slots: Readonly<Record<string, number[]>>, groups: readonly object[]): Uint8Array =>
    encodeSafetensors(
      new Map(
        Object.entries(slots).map(([key, data]) => {
          const shape = key.endsWith(":step") ? [] : key.startsWith("weight") ? [2, 3] : [2];
          return [key, { dtype: "F32", shape, data: Float32Array.from(data) }] as const;
        }),
      ),
      { "torch-optimizer": JSON.stringify({ param_groups: groups }) },
    ).bytes();
  const buffer = { "weight:momentum_buffer": [1, 2, 3, 4, 5, 6] };
  const averages = { "bias:step": [7], "bias:exp_avg": [1, 2], "bias:exp_avg_sq": [3, 4] };
  const hidden = { params: ["weight"], lr: 0.02, momentum: 0.9, weight_decay: 0 };
  const rest = { params: ["bias"], lr: 3e-4, betas: [0.9, 0.95], eps: 1e-10, weight_decay: 0 };
  const trained = () =>
    createOptimWrapper(
      wasmOptimizer(adamw(), [
        { name: "rest", params: { bias: new Float32Array(2) } },
        {
          name: "hidden",
          params: { weight: new Float32Array(6) },
          shapes: { weight: [2, 3] },
          rule: muon({ nesterov: false }),
        },
      ]),
    );

  async function loaded(input: Parameters<typeof decodeTorchState>[0]) {
    const wrapper = trained();
    await wrapper.loadStateDict((await decodeTorchState(input, wrapper)) as OptimWrapperStateDict);
    return (await wrapper.stateDict()).optimizer;
  }
  /** The parts of a state that are compared: counts, slots and hyperparameters by group. */
  const told = ({ params, groups }: OptimWrapperStateDict["optimizer"]) => ({
    step: params[0]?.step,
    slots: params.map(({ slots }) => slots),
    groups: Object.fromEntries(groups.map(({ name, hyperparameters }) => [name, hyperparameters])),
  });
  const expected = {
    step: 7,
    slots: [
      { expAvg: Float32Array.of(1, 2), expAvgSq: Float32Array.of(3, 4) },
      { momentumBuffer: Float32Array.of(1, 2, 3, 4, 5, 6) },
    ],
    groups: {
      hidden: { lr: 0.02, momentum: 0.9, nesterov: true },
      rest: { lr: 3e-4, betas: [0.9, 0.95], eps: 1e-10 },
    },
  };

  test("two optimizers of PyTorch, a file each, in any order", async () => {
    const files = [file(buffer, [{ ...hidden, nesterov: true }]), file(averages, [rest])];
    expect(told(await loaded({ parts: files }))).toMatchObject(expected);
    expect(told(await loaded({ parts: [...files].reverse() }))).toMatchObject(expected);
  });

  test("one optimizer with use_muon, whose Nesterov momentum is always on", async () => {
    const groups = [
      { ...hidden, use_muon: true },
      { ...rest, use_muon: false },
    ];
    expect(told(await loaded(file({ ...buffer, ...averages }, groups)))).toMatchObject(expected);
  });

  test("a group that follows another rule here is refused, and so is a parameter in two parts", async () => {
    const swapped = file({}, [{ ...hidden, use_muon: false }]);
    const error = await refusal(() => loaded(swapped));
    expect(error.code).toBe("state-mismatch");
    expect(error.message).toMatch(/use_muon: expected another rule than Muon without use_muon, got "Muon"/);
    const one = file(buffer, [hidden]);
    const twice = await refusal(() => loaded({ parts: [one, one] }));
    expect(twice.code).toBe("state-mismatch");
    expect(twice.message).toMatch(/every parameter in one of the parts.*weight/);
    expect((await refusal(() => loaded({ parts: [] }))).code).toBe("invalid-option");
  });
});

test("the files of two dicts, as one", async () => {
  const dict = new OptimWrapperDict({ one: adamwOver() });
  const once = await decodeTorchState(fixture("torch-adamw"), adamwOver());
  const wrapped = encodeTorchState({
    format: "optim-wrapper-dict",
    version: 1,
    wrappers: { one: once as OptimWrapperStateDict },
  }).bytes();
  const nothing = encodeSafetensors(new Map(), {
    "torch-optimizer": JSON.stringify({ one: { param_groups: [] } }),
  }).bytes();
  expect(await decodeTorchState({ parts: [wrapped, nothing] }, dict)).toEqual(
    await decodeTorchState(wrapped, dict),
  );
});
