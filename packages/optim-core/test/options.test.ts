import {
  createAmpOptimWrapper,
  createOptimWrapper,
  type OptimErrorCode,
  type OptimWrapperOptions,
} from "@mm/optim-core";
import { expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, heavyBall, observed } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

const optimizer = () => arrayOptimizer(heavyBall(), { w: new Float32Array(2) });
const foreign = arrayOptimizer(descent(), { w: new Float32Array(1) }, observed(), "elsewhere");

test.each<[string, unknown, OptimErrorCode]>([
  ["options null", null, "invalid-option"],
  ["options a number", 3, "invalid-option"],
  ["a misspelled name", { accumulateCounts: 2 }, "unknown-option"],
  ["MMEngine's name", { clip_grad: { maxNorm: 1 } }, "unknown-option"],

  ["accumulativeCounts 0", { accumulativeCounts: 0 }, "invalid-option"],
  ["accumulativeCounts 1.5, which MMEngine takes", { accumulativeCounts: 1.5 }, "invalid-option"],
  ["accumulativeCounts -1", { accumulativeCounts: -1 }, "invalid-option"],
  ["accumulativeCounts NaN", { accumulativeCounts: Number.NaN }, "invalid-option"],
  ["accumulativeCounts infinity", { accumulativeCounts: Number.POSITIVE_INFINITY }, "invalid-option"],
  ["accumulativeCounts a string", { accumulativeCounts: "2" }, "invalid-option"],
  ["accumulativeCounts null", { accumulativeCounts: null }, "invalid-option"],

  ["clipGrad a number", { clipGrad: 1 }, "invalid-option"],
  ["clipGrad null", { clipGrad: null }, "invalid-option"],
  ["clipGrad false", { clipGrad: false }, "invalid-option"],
  ["clipGrad empty", { clipGrad: {} }, "invalid-option"],
  ["clipGrad a list", { clipGrad: [1] }, "invalid-option"],
  ["clipGrad of another type", { clipGrad: { type: "max", maxNorm: 1 } }, "invalid-option"],
  ["maxNorm missing", { clipGrad: { normType: 2 } }, "invalid-option"],
  ["maxNorm negative", { clipGrad: { maxNorm: -1 } }, "invalid-option"],
  ["maxNorm NaN", { clipGrad: { maxNorm: Number.NaN } }, "invalid-option"],
  ["maxNorm a string", { clipGrad: { maxNorm: "1" } }, "invalid-option"],
  ["PyTorch's max_norm", { clipGrad: { max_norm: 1, maxNorm: 1 } }, "unknown-option"],
  ["normType 0", { clipGrad: { maxNorm: 1, normType: 0 } }, "invalid-option"],
  ["normType inf, which is Infinity here", { clipGrad: { maxNorm: 1, normType: "inf" } }, "invalid-option"],
  ["errorIfNonfinite 1", { clipGrad: { maxNorm: 1, errorIfNonfinite: 1 } }, "invalid-option"],
  // MMEngine's tutorial has it without the type; it clips by norm there, and crashes at the first step.
  ["clipValue without its type", { clipGrad: { clipValue: 1 } }, "unknown-option"],
  ["clipValue missing", { clipGrad: { type: "value" } }, "invalid-option"],
  ["clipValue 0", { clipGrad: { type: "value", clipValue: 0 } }, "invalid-option"],
  [
    "clipValue infinity",
    { clipGrad: { type: "value", clipValue: Number.POSITIVE_INFINITY } },
    "invalid-option",
  ],
  ["maxNorm beside clipValue", { clipGrad: { type: "value", clipValue: 1, maxNorm: 1 } }, "unknown-option"],

  ["onNonFinite of another name", { onNonFinite: "ignore" }, "invalid-option"],
  ["onNonFinite null", { onNonFinite: null }, "invalid-option"],
  [
    "onNonFinite beside a loss scale, which skips",
    { onNonFinite: "zero", lossScale: "dynamic" },
    "invalid-option",
  ],
  ["gradNorm a number", { gradNorm: 2 }, "invalid-option"],

  ["lossScale of another name", { lossScale: "static" }, "invalid-option"],
  ["lossScale 0", { lossScale: 0 }, "invalid-option"],
  ["lossScale negative", { lossScale: -2 }, "invalid-option"],
  ["lossScale NaN", { lossScale: Number.NaN }, "invalid-option"],
  ["lossScale beyond float32", { lossScale: 1e39 }, "invalid-option"],
  ["lossScale true", { lossScale: true }, "invalid-option"],
  ["lossScale null", { lossScale: null }, "invalid-option"],
  ["lossScale a list", { lossScale: [2] }, "invalid-option"],
  ["GradScaler's init_scale", { lossScale: { init_scale: 2 } }, "unknown-option"],
  ["growthFactor 1", { lossScale: { growthFactor: 1 } }, "invalid-option"],
  ["backoffFactor 1", { lossScale: { backoffFactor: 1 } }, "invalid-option"],
  ["backoffFactor 0", { lossScale: { backoffFactor: 0 } }, "invalid-option"],
  ["growthInterval 0", { lossScale: { growthInterval: 0 } }, "invalid-option"],
  ["growthInterval a fraction", { lossScale: { growthInterval: 1.5 } }, "invalid-option"],
  ["minScale above initScale", { lossScale: { initScale: 1, minScale: 2 } }, "invalid-option"],
  ["a scaler of another backend", { lossScale: foreign.createLossScaler(8) }, "invalid-option"],
])("refused at construction: %s", async (_, options, code) => {
  const error = await refusal(() => createOptimWrapper(optimizer(), options as OptimWrapperOptions));
  expect(error.code).toBe(code);
});

test("normType inf is told what it is here", async () => {
  const clipGrad = { maxNorm: 1, normType: "inf" } as unknown as NonNullable<OptimWrapperOptions["clipGrad"]>;
  const { message } = await refusal(() => createOptimWrapper(optimizer(), { clipGrad }));
  expect(message).toMatch(/clipGrad\.normType: expected .*Infinity, not a string.*, got "inf"/);
});

test.each<[string, OptimWrapperOptions]>([
  ["nothing", {}],
  ["undefined for what is not wanted", { clipGrad: undefined, lossScale: undefined }],
  ["maxNorm 0", { clipGrad: { maxNorm: 0 } }],
  ["maxNorm infinity: measure only", { clipGrad: { maxNorm: Number.POSITIVE_INFINITY } }],
  ["the maximum norm", { clipGrad: { maxNorm: 1, normType: Number.POSITIVE_INFINITY } }],
  ["propagate beside a loss scale", { onNonFinite: "propagate", lossScale: 2 }],
  ["a static scale below 1", { lossScale: 2 ** -10 }],
])("accepted: %s", (_, options) => {
  expect(createOptimWrapper(optimizer(), options).updateParams(gradients({ w: [1, 1] })).updated).toBe(true);
});

test.each([
  ["nothing", undefined],
  ["null", null],
  ["a rule", descent()],
  ["a wrapper", createOptimWrapper(optimizer())],
])("%s is no optimizer", async (_, value) => {
  const error = await refusal(() => createOptimWrapper(value as unknown as ReturnType<typeof optimizer>));
  expect(error.code).toBe("invalid-option");
});

test("options are copied: neither ours nor the caller's change", async () => {
  const clipGrad = { type: "value" as const, clipValue: 1 };
  const options = Object.freeze({ clipGrad: Object.freeze({ ...clipGrad }), accumulativeCounts: 1 });
  createOptimWrapper(optimizer(), options).updateParams(gradients({ w: [3, 3] }));
  expect(options).toEqual({ clipGrad: { type: "value", clipValue: 1 }, accumulativeCounts: 1 });

  const w = new Float32Array(1);
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w }), { clipGrad });
  clipGrad.clipValue = 100;
  wrapper.updateParams(gradients({ w: [3] }));
  expect(w[0]).toBe(-1);
});

test("two wrappers from one options object clip alike", () => {
  const options = { clipGrad: { type: "value", clipValue: 0.5 } } as const;
  for (const w of [new Float32Array(1), new Float32Array(1)]) {
    createOptimWrapper(arrayOptimizer(descent(), { w }), options).updateParams(gradients({ w: [3] }));
    expect(w[0]).toBe(-0.5);
  }
});

test("mixed precision is the same with a dynamic loss scale by default", async () => {
  const amp = createAmpOptimWrapper(optimizer());
  expect(amp.lossScaler?.settings).toMatchObject({ dynamic: true, initScale: 65536, minScale: 2 ** -24 });
  expect((await amp.readMetrics()).lossScale).toBe(65536);
  expect(createAmpOptimWrapper(optimizer(), { lossScale: 4 }).lossScaler?.settings.dynamic).toBe(false);
  expect(createOptimWrapper(optimizer()).lossScaler).toBeUndefined();
  expect((await createOptimWrapper(optimizer()).readMetrics()).lossScale).toBe(1);
});

test.each<[string, (wrapper: ReturnType<typeof plain>) => unknown, OptimErrorCode]>([
  [
    "updateParams, a name",
    (wrapper) => wrapper.updateParams(loss, { returnloss: true } as object),
    "unknown-option",
  ],
  [
    "updateParams, returnLoss",
    (wrapper) => wrapper.updateParams(loss, { returnLoss: 1 as never }),
    "invalid-option",
  ],
  ["updateParams, null", (wrapper) => wrapper.updateParams(loss, null as never), "invalid-option"],
  ["backward, a name", (wrapper) => wrapper.backward(loss, { weight: 2 } as object), "unknown-option"],
  ["backward, scale", (wrapper) => wrapper.backward(loss, { scale: Number.NaN }), "invalid-option"],
  ["backward, a string", (wrapper) => wrapper.backward(loss, { scale: "1" as never }), "invalid-option"],
  ["step, a name", (wrapper) => wrapper.step({ scale: 2 } as object), "unknown-option"],
  ["step, rescale", (wrapper) => wrapper.step({ rescale: Number.POSITIVE_INFINITY }), "invalid-option"],
  ["step, null", (wrapper) => wrapper.step(null as never), "invalid-option"],
  ["stateDict, a name", (wrapper) => wrapper.stateDict({ gradients: false } as object), "unknown-option"],
  ["stateDict, pending", (wrapper) => wrapper.stateDict({ pending: 0 as never }), "invalid-option"],
])("an option that is wrong in %s", async (_, call, code) => {
  const { w, wrapper } = halfway();
  const before = await wrapper.stateDict();
  expect((await refusal(() => call(wrapper))).code).toBe(code);
  expect(await wrapper.stateDict()).toEqual(before);
  expect([...w]).toEqual([0]);
});

const loss = gradients({ w: [1] });
const plain = (w: Float32Array) =>
  createOptimWrapper(arrayOptimizer(descent(), { w }), { accumulativeCounts: 2 });

function halfway() {
  const w = new Float32Array(1);
  const wrapper = plain(w);
  wrapper.updateParams(loss);
  return { w, wrapper };
}
