import { createOptimWrapper, type OptimizerStateDict } from "@mm/optim-core";
import { add, defineUpdateRule, mul, sub, type UpdateRule } from "@mm/optim-core/rule";
import { adam, sgd } from "@mm/optim-rules";
import {
  createArena,
  webgpuOptimizer,
  type WebgpuLoss,
  type WebgpuOptimizer,
  type WebgpuParameters,
} from "@mm/optim-webgpu";
import { beforeAll, describe, expect, test } from "vitest";
import { openDevice } from "./support/node.ts";
import { readBytes, storageBuffer } from "./support/read.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});

/** Bits of float16: 1 = 0x3c00, and one unit in the last place of it is 2⁻¹⁰. */
const one = 0x3c00;
const halves = (...bits: number[]): GPUBuffer => storageBuffer(device, Uint16Array.from(bits));
const readHalves = async (binding: GPUBufferBinding): Promise<number[]> => [
  ...new Uint16Array(await readBytes(device, binding)),
];
const floats = (...values: number[]): Float32Array => Float32Array.from(values);
const float16 = (buffer: GPUBuffer, offset: number, length: number) =>
  ({ buffer, offset, length, dtype: "float16" }) as const;
const optimizerOf = (rule: UpdateRule, parameters: WebgpuParameters): WebgpuOptimizer =>
  webgpuOptimizer(rule, parameters, { device });

/** One step with these gradients in float32. */
function train(optimizer: WebgpuOptimizer, gradients: Readonly<Record<string, Float32Array>>): void {
  optimizer.writeGradients(gradients);
  optimizer.step();
  optimizer.zeroGrad();
}

describe("parameters in float16", () => {
  test("steps that are too small for them add up in the master weights", async () => {
    const w = halves(one, one);
    const optimizer = optimizerOf(sgd({ lr: 1 }), { w: float16(w, 0, 2) });
    // 2⁻¹³ is an eighth of a unit above 1.
    for (let i = 0; i < 3; i += 1) train(optimizer, { w: floats(-(2 ** -13), 0) });
    expect(await readHalves({ buffer: w })).toEqual([one, one]);
    expect((await optimizer.readParameters())["w"]).toEqual(floats(1 + 3 * 2 ** -13, 1));
    for (let i = 0; i < 3; i += 1) train(optimizer, { w: floats(-(2 ** -13), 0) });
    expect(await readHalves({ buffer: w })).toEqual([one + 1, one]);
  });

  test("odd lengths and neighbours: no half beside a range is touched", async () => {
    const bits = Array.from({ length: 40 }, (_, index) => 0x3c00 + index);
    const all = halves(...bits);
    const optimizer = optimizerOf(sgd({ lr: 1 }), {
      odd: float16(all, 4, 3),
      one: float16(all, 12, 1),
      none: float16(all, 16, 0),
      even: float16(all, 20, 4),
    });
    train(optimizer, {
      odd: floats(1, 1, 1),
      one: floats(1),
      none: floats(),
      even: floats(1, 1, 1, 1),
    });
    const trained = new Set([2, 3, 4, 6, 10, 11, 12, 13]);
    const found = await readHalves({ buffer: all });
    // 1 + k · 2⁻¹⁰ less 1 is k · 2⁻¹⁰ = k ÷ 1024.
    const numbers = found.map((half, index) => (trained.has(index) ? halfOf(half) * 1024 : half));
    expect(numbers).toEqual(bits.map((half, index) => (trained.has(index) ? index : half)));
  });

  test("an evaluation point is of the master weights, and they come back to the bit", async () => {
    const following = defineUpdateRule({
      name: "Following",
      hyperparameters: { lr: 1 },
      slots: () => ({ x: "param" }),
      update({ param, grad, x }, { lr }) {
        const next = sub(param, mul(lr, grad));
        return { param: next, x: add(x, mul(0.5, sub(next, x))) };
      },
      evaluate: ({ x }) => x,
    });
    const w = halves(one, one, one);
    const optimizer = optimizerOf(following(), { w: float16(w, 0, 3) });
    // θ = 1 + 2⁻¹³, which half a unit does not see; x is half of the way. The second: θ = 1 − 0.5, x = 0.75.
    train(optimizer, { w: floats(-(2 ** -13), 0.5, 0) });
    expect((await optimizer.readSlots(["x"])).x["w"]).toEqual(floats(1 + 2 ** -14, 0.75, 1));
    optimizer.swapIn();
    expect((await readHalves({ buffer: w })).slice(0, 3).map(halfOf)).toEqual([1, 0.75, 1]);
    expect((await optimizer.readParameters())["w"]).toEqual(floats(1 + 2 ** -14, 0.75, 1));
    optimizer.swapOut();
    expect((await readHalves({ buffer: w })).slice(0, 3).map(halfOf)).toEqual([1, 0.5, 1]);
    expect((await optimizer.readParameters())["w"]).toEqual(floats(1 + 2 ** -13, 0.5, 1));
  });

  test("an offset must begin a word, and the last word must be in the buffer", () => {
    const w = halves(1, 2, 3, 4);
    expect(() => optimizerOf(sgd(), { w: float16(w, 2, 1) })).toThrow(/multiple of 4/);
    const odd = device.createBuffer({ size: 6, usage: 0x008c });
    expect(() => optimizerOf(sgd(), { w: float16(odd, 0, 3) })).toThrow(/whole words/);
  });

  test("in an arena they share a dispatch with others; beside float32 too", async () => {
    const half = createArena(device, { a: 3, b: 5 }, { dtype: "float16" });
    const full = createArena(device, { c: 3 });
    expect([half.a.size, half.b.size, half.b.offset]).toEqual([8, 12, 256]);
    const optimizer = optimizerOf(adam({ lr: 1 }), { ...half, ...full });
    train(optimizer, { a: floats(1, 2, 3), b: floats(1, 2, 3, 4, 5), c: floats(1, 2, 3) });
    const { a, b, c } = await optimizer.readParameters();
    for (const value of [a, b, c].flatMap((tensor) => [...(tensor as Float32Array)])) {
      expect(value).toBeCloseTo(-1, 5);
    }
    // −1, three and five times, and padding that stays zero.
    const all = await readHalves({ buffer: half.a.buffer });
    expect(all.slice(0, 4)).toEqual([0xbc00, 0xbc00, 0xbc00, 0]);
    expect(all.slice(128, 134)).toEqual([0xbc00, 0xbc00, 0xbc00, 0xbc00, 0xbc00, 0]);
  });

  test("their gradients come in float16, at the first backward of a window and after it", async () => {
    const w = halves(one, one, one);
    const optimizer = optimizerOf(sgd({ lr: 1 }), { w: float16(w, 0, 3) });
    // 1, 2, 3 and a half that belongs to nobody.
    const gradient = halves(one, 0x4000, 0x4200, 0x7c00);
    const loss: WebgpuLoss = ({ encoder, grad }) => {
      const into = grad("w");
      expect(into.size).toBe(8);
      encoder.copyBufferToBuffer(gradient, 0, into.buffer, into.offset, 8);
    };
    for (let i = 0; i < 3; i += 1) optimizer.backward(loss);
    expect((await optimizer.readGradients())["w"]).toEqual(floats(3, 6, 9));
    optimizer.step({ gradNorm: true });
    // The half that belongs to nobody is in neither norm nor parameter.
    expect((await optimizer.readMetrics()).gradNorm).toBeCloseTo(Math.hypot(3, 6, 9), 5);
    expect((await optimizer.readParameters())["w"]).toEqual(floats(-2, -5, -8));
  });
});

describe("master weights", () => {
  test("begin with what the parameter holds at its first step, and are read before it as well", async () => {
    const w = halves(0, 0, 0);
    const optimizer = optimizerOf(sgd({ lr: 1 }), {
      w: float16(w, 0, 3),
      b: storageBuffer(device, floats(7)),
    });
    // 2, −0.5, and 2⁻²⁴, the smallest.
    device.queue.writeBuffer(w, 0, Uint16Array.of(0x4000, 0xb800, 1, 0));
    expect((await optimizer.stateDict()).params[0]?.slots).toEqual({});
    expect({ ...(await optimizer.readParameters()) }).toEqual({
      w: floats(2, -0.5, 2 ** -24),
      b: floats(7),
    });
    train(optimizer, { w: floats(0, 0, 0) });
    expect((await optimizer.stateDict()).params[0]?.slots["master"]).toEqual(floats(2, -0.5, 2 ** -24));
  });

  test("what is written reaches both", async () => {
    const w = halves(one, one);
    const optimizer = optimizerOf(sgd({ lr: 1 }), { w: float16(w, 0, 2) });
    const written = floats(1 / 3, 70_000);
    optimizer.writeParameters({ w: written });
    expect((await optimizer.readParameters())["w"]).toEqual(written);
    // ⅓ to 11 binary places is 1365 ÷ 4096; float16 ends below 65,520.
    expect(await readHalves({ buffer: w })).toEqual([0x3400 + 1365 - 1024, 0x7c00]);
  });

  test("a run goes on to the bit from its state alone", async () => {
    const make = (bits: number): { readonly w: GPUBuffer; readonly optimizer: WebgpuOptimizer } => {
      const w = halves(bits, bits);
      return { w, optimizer: optimizerOf(adam({ lr: 0.01 }), { w: float16(w, 0, 2) }) };
    };
    const [whole, first, second] = [make(one), make(one), make(0)];
    const gradient = { w: floats(0.3, -0.7) };
    for (let i = 0; i < 6; i += 1) train(whole.optimizer, gradient);
    for (let i = 0; i < 3; i += 1) train(first.optimizer, gradient);
    second.optimizer.prepareLoad(await first.optimizer.stateDict()).commit();
    // The parameter follows its master weights at once.
    expect(await readHalves({ buffer: second.w })).toEqual(await readHalves({ buffer: first.w }));
    for (let i = 0; i < 3; i += 1) train(second.optimizer, gradient);
    expect(await second.optimizer.stateDict()).toEqual(await whole.optimizer.stateDict());
    expect(await readHalves({ buffer: second.w })).toEqual(await readHalves({ buffer: whole.w }));
  });

  test("a state moves between float16 and float32", async () => {
    const [w, v] = [halves(one, one), storageBuffer(device, floats(1, 1))];
    const half = optimizerOf(adam({ lr: 0.01 }), { w: float16(w, 0, 2) });
    const full = optimizerOf(adam({ lr: 0.01 }), { w: v });
    const move = async (from: WebgpuOptimizer, to: WebgpuOptimizer): Promise<OptimizerStateDict> => {
      const [state, parameters] = await Promise.all([from.stateDict(), from.readParameters()]);
      to.writeParameters(parameters);
      expect(to.prepareLoad(state).commit()).toEqual({
        missing: [],
        unexpected: [],
        changed: [],
        defaulted: [],
      });
      return state;
    };
    const gradient = { w: floats(0.3, -0.7) };
    train(half, gradient);
    const state = await move(half, full);
    expect((await full.readParameters())["w"]).toEqual(state.params[0]?.slots["master"]);
    train(full, gradient);
    await move(full, half);
    train(half, gradient);
    train(full, gradient);
    expect((await half.readParameters())["w"]).toEqual((await full.readParameters())["w"]);
  });

  test("are decided on like everything else: an overflow skips their step", async () => {
    const w = halves(one, one);
    const optim = createOptimWrapper(optimizerOf(sgd({ lr: 1 }), { w: float16(w, 0, 2) }), { lossScale: 2 });
    const gradient = halves(one, 0x7c00);
    optim.updateParams(({ encoder, grad }) => {
      const into = grad("w");
      encoder.copyBufferToBuffer(gradient, 0, into.buffer, into.offset, 4);
    });
    expect(await optim.readMetrics()).toMatchObject({ steps: 0, skipped: 1 });
    expect(await readHalves({ buffer: w })).toEqual([one, one]);
  });
});

/** The number of a normal float16, or 0. */
function halfOf(bits: number): number {
  return bits === 0 ? 0 : (1 + (bits & 1023) / 1024) * 2 ** ((bits >> 10) - 15);
}
