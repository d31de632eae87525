import type { DynamicLossScale } from "@mm/optim-core";
import { clipCoefficient, nextLossScale, resolveLossScale } from "@mm/optim-core/backend";
import { sgd } from "@mm/optim-rules";
import { beforeAll, describe, expect, test } from "vitest";
import { globals, header, record, seedKernel } from "../../src/kernel/index.ts";
import { openDevice } from "../support/node.ts";
import { randomNumbers } from "../../../../test-support/numbers.ts";
import { programOf } from "../../../../test-support/programs.ts";
import { Rig } from "./rig.ts";
import { type StepHeader, Steps } from "./steps.ts";

let rig: Rig;
beforeAll(async () => {
  rig = new Rig(await openDevice());
});

const rule = sgd();
const stepsOf = (...gradients: readonly (readonly number[])[]): Steps =>
  new Steps(
    rig,
    gradients.map((gradient) => Float32Array.from(gradient)),
    programOf(rule),
    rule.hyperparameters,
  );
/** Uniform 0: what gradients are multiplied by. */
const factorOf = async (steps: Steps, index = 0): Promise<number> => {
  const { uniforms, factorRest } = (await steps.records())[index]!;
  return uniforms[0]! * factorRest;
};

describe("the factor of the gradients", () => {
  test("is rescale, rounded once", async () => {
    const steps = stepsOf([1]);
    steps.step({ rescale: 0.1 });
    expect(await factorOf(steps)).toBe(Math.fround(0.1));
  });

  test("is rescale ÷ loss scale", async () => {
    const steps = stepsOf([1]);
    steps.writeScaler(3);
    steps.step({ rescale: 0.7, scaler: resolveLossScale(3) });
    expect(await factorOf(steps)).toBe(Math.fround(0.7 / 3));
  });

  test.each([
    // The norm is 5: × 0.5 is 2.5, above 1, at 2.5 and below 4.
    [{ norm: 2, rescale: 0.5, maxNorm: 1 }, 0.5 / 2.500001],
    [{ norm: 2, rescale: 0.5, maxNorm: 2.5 }, (0.5 * 2.5) / 2.500001],
    [{ norm: 2, rescale: 0.5, maxNorm: 4 }, 0.5],
    [{ norm: 2, rescale: -0.5, maxNorm: 1 }, -0.5 / 2.500001],
    [{ norm: 1, maxNorm: 1 }, 1 / 7.000001],
    [{ norm: "inf", maxNorm: 1 }, 1 / 4.000001],
    [{ norm: 2, maxNorm: Infinity }, 1],
    [{ norm: 2 }, 1],
  ] satisfies [StepHeader, number][])("is clipped: %o of (3, 4) makes %d", async (options, expected) => {
    const steps = stepsOf([3], [4]);
    steps.step(options);
    // The norm and two operations in float32, 6e-8 each.
    expect((await factorOf(steps)) / expected).toBeCloseTo(1, 6);
    expect(await factorOf(steps, 1)).toBe(await factorOf(steps));
  });

  test("the norm in the metrics is unscaled and unclipped", async () => {
    const steps = stepsOf([3], [4]);
    steps.writeScaler(8);
    steps.step({ norm: 2, maxNorm: 0.1, rescale: -4, scaler: resolveLossScale(8) });
    // 5 × 4 ÷ 8
    expect((await steps.globals()).norm).toBe(2.5);
  });

  test("of gradients whose norm is beyond float32, once unscaled it is not", async () => {
    const steps = stepsOf([2 ** 127], [2 ** 127], [2 ** 127], [2 ** 127]);
    steps.writeScaler(2 ** 120);
    steps.step({ norm: 2, maxNorm: 64, scaler: resolveLossScale(2 ** 120) });
    // The norm is 2¹²⁸; 2⁸ after unscaling; 64 ÷ 256 is a quarter.
    expect((await steps.globals()).norm).toBe(256);
    expect((await factorOf(steps)) * 2 ** 122).toBeCloseTo(1, 6);
  });

  test.each([NaN, Infinity])("with a norm of %d it is what core's coefficient makes it", async (bad) => {
    const steps = stepsOf([1], [bad]);
    steps.step({ norm: 2, maxNorm: 1, rescale: -2 });
    expect((await factorOf(steps)) + 0).toBe(-2 * clipCoefficient(bad, { maxNorm: 1 }) + 0);
    expect(await steps.globals()).toMatchObject({ norm: bad, steps: 1, skipped: 0 });
  });

  test("is all that is written of records whose scalars the host has computed", async () => {
    const steps = stepsOf([3], [4]);
    steps.setRecord(1, record.code, 0);
    steps.set(header.zero, 0);
    steps.setRecord(1, record.uniforms + 1, 0x40400000); // 3
    steps.step({ norm: 2, maxNorm: 10 });
    const [, byHost] = await steps.records();
    expect(byHost).toMatchObject({ live: 1, uniforms: [1, 3] });
    expect((await steps.state()).map(({ step }) => step)).toEqual([1, 0]);
  });
});

describe("skipped steps", () => {
  test("leave counts of parameters and uniforms alone, and are counted", async () => {
    const steps = stepsOf([1, 2], [NaN], [3]);
    steps.setRecord(2, record.active, 0);
    steps.step({ skips: true, fails: true });
    expect(await steps.globals()).toMatchObject({ finite: 0, steps: 0, skipped: 1, failed: 1 });
    expect((await steps.records()).map(({ live }) => live)).toEqual([0, 0, 0]);
    expect((await steps.state()).map(({ step }) => step)).toEqual([0, 0, 0]);
    steps.writeGradients(64, Float32Array.of(1));
    steps.step({ skips: true, fails: true });
    expect(await steps.globals()).toMatchObject({ finite: 1, steps: 1, skipped: 1, failed: 1 });
    expect((await steps.records()).map(({ live }) => live)).toEqual([1, 1, 0]);
    expect((await steps.state()).map(({ step }) => step)).toEqual([1, 1, 0]);
  });

  test("are not skipped where nobody asked for it", async () => {
    const steps = stepsOf([NaN]);
    steps.step({ norm: 2 });
    expect(await steps.globals()).toMatchObject({ finite: 0, steps: 1, skipped: 0, norm: NaN });
  });
});

describe("the loss scaler's next state", () => {
  const cases: readonly DynamicLossScale[] = [
    { growthInterval: 3 },
    { initScale: 1, growthFactor: 1.1, backoffFactor: 0.3, growthInterval: 1 },
    { initScale: 3e38, growthInterval: 1 },
    { initScale: 1e-3, minScale: 3e-4, backoffFactor: 0.7, growthInterval: 2 },
  ];

  test.each(cases)("%o, as core's state machine has it, to the bit", async (options) => {
    const scaler = resolveLossScale(options);
    const random = randomNumbers(1);
    const steps = stepsOf([1]);
    steps.writeScaler(Math.fround(scaler.initScale));
    let state = { scale: Math.fround(scaler.initScale), growthTracker: 0 };
    for (let count = 0; count < 60; count += 1) {
      const current = count % 2;
      const found = random() < 0.2;
      steps.set(header.scalerCurrent, current);
      steps.set(header.latched, current);
      steps.set(header.seedScale, 0.25, "f32");
      steps.writeGradients(0, Float32Array.of(found ? Infinity : 1));
      steps.step({ skips: true, scaler });
      // Of a scale above 2¹²⁶ the reciprocal is subnormal: it comes in two factors.
      const factor = Math.fround(2 ** 64 / state.scale) * 2 ** -64;
      expect(found || (await factorOf(steps)) === factor).toBe(true);
      state = nextLossScale(scaler, state.scale, state.growthTracker, found);
      expect((await steps.scalerStates())[1 - current]).toEqual({ ...state, found: 0 });
      // The next window finds all that it needs.
      expect((await steps.latched())[1 - current]).toBe(state.scale);
      expect((await rig.floats(steps.seed))[0]).toBe(Math.fround(0.25 * state.scale));
    }
  });

  test("counts all steps since the last update: one that found is enough", async () => {
    const scaler = resolveLossScale({ initScale: 8, growthInterval: 1 });
    const steps = stepsOf([1]);
    steps.writeScaler(8);
    for (const gradient of [1, NaN, 1]) {
      steps.writeGradients(0, Float32Array.of(gradient));
      steps.step({ skips: true, scaler });
    }
    expect(await steps.scalerStates()).toEqual([
      { scale: 8, growthTracker: 0, found: 1 },
      { scale: 4, growthTracker: 0, found: 0 },
    ]);
    expect(await steps.globals()).toMatchObject({ steps: 2, skipped: 1 });
  });

  test("of a static one is the same", async () => {
    const steps = stepsOf([Infinity]);
    steps.writeScaler(128);
    steps.step({ skips: true, scaler: resolveLossScale(128) });
    expect((await steps.scalerStates()).map(({ scale }) => scale)).toEqual([128, 128]);
    expect(await steps.globals()).toMatchObject({ skipped: 1 });
  });
});

test("the seed kernel latches at the beginning of a window, and multiplies", async () => {
  const table = new Uint32Array(32);
  const floats = new Float32Array(table.buffer);
  const state = rig.buffer(new Float32Array(8));
  const scaler = rig.buffer(Float32Array.of(4, 0, 0, 0, 6, 0, 0, 0));
  const seed = rig.buffer(new Float32Array(4));
  const run = async (latches: number, latched: number, current: number): Promise<readonly number[]> => {
    table[header.latches] = latches;
    table[header.latched] = latched;
    table[header.scalerCurrent] = current;
    floats[header.seedScale] = 0.5;
    rig.run([{ source: seedKernel(), bindings: [rig.buffer(table), state, scaler, seed], groups: [1] }]);
    const written = await rig.floats(state);
    return [(await rig.floats(seed))[0]!, written[globals.latched]!, written[globals.latched + 1]!];
  };
  expect(await run(1, 0, 0)).toEqual([2, 4, 0]);
  expect(await run(0, 0, 1)).toEqual([2, 4, 0]);
  expect(await run(1, 1, 1)).toEqual([3, 4, 6]);
});
