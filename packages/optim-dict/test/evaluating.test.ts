import { createOptimWrapper, OptimError } from "@mm/optim-core";
import { add, defineUpdateRule, mul, sub } from "@mm/optim-core/rule";
import { OptimWrapperDict } from "@mm/optim-dict";
import { expect, test } from "vitest";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";
import { refusal } from "../../../test-support/refusal.ts";
import { FakeWrapper, type FakeOptions } from "./fake-wrapper.ts";

interface Lr {
  lr: number;
}

const dictOf = (log: string[], fails?: FakeOptions<Lr>["fails"]) =>
  new OptimWrapperDict({
    a: new FakeWrapper({ backend: "a", groups: [{ lr: 1 }], log }),
    b: new FakeWrapper({ backend: "b", groups: [{ lr: 1 }], log, ...(fails && { fails }) }),
    c: new FakeWrapper({ backend: "c", groups: [{ lr: 1 }], log }),
  });

test("all wrappers swap in before the run, and out after it, whatever comes of it", async () => {
  const log: string[] = [];
  const dict = dictOf(log);
  expect(await dict.evaluating(() => (log.push("run"), 5))).toBe(5);
  const whole = ["swapIn a", "swapIn b", "swapIn c", "run", "swapOut a", "swapOut b", "swapOut c"];
  expect(log).toEqual(whole);
  log.length = 0;
  const failing = dict.evaluating(async () => {
    await Promise.resolve();
    log.push("run");
    throw new Error("from the run");
  });
  await expect(failing).rejects.toThrow("from the run");
  expect(log).toEqual(whole);
  expect((await refusal(() => dict.evaluating(5 as never))).code).toBe("invalid-option");
});

test("none is in where one refuses", async () => {
  const log: string[] = [];
  const error = new OptimError("evaluating", "fake: swapIn");
  const dict = dictOf(log, { phase: "swapIn", how: "throws", error });
  const told = await refusal(() => dict.evaluating(() => log.push("run")));
  expect([told.code, told.message]).toEqual(["evaluating", "b.fake: swapIn"]);
  expect(log).toEqual(["swapIn a", "swapIn c", "swapOut a", "swapOut c"]);
});

test("all are out also where one fails", async () => {
  const log: string[] = [];
  const error = new OptimError("device-lost", "fake: swapOut");
  const dict = dictOf(log, { phase: "swapOut", how: "throws", error });
  expect((await refusal(() => dict.swapOut())).message).toBe("b.fake: swapOut");
  expect(log).toEqual(["swapOut a", "swapOut b", "swapOut c"]);
});

test("of real wrappers, one with an evaluation point and one without", async () => {
  const slow = defineUpdateRule({
    name: "Slow",
    hyperparameters: { lr: 1 },
    slots: () => ({ x: "param" }),
    update({ param, grad, x }, { lr }) {
      const next = sub(param, mul(lr, grad));
      return { param: next, x: add(x, mul(0.5, sub(next, x))) };
    },
    evaluate: ({ x }) => x,
  });
  const descent = defineUpdateRule({
    name: "Descent",
    hyperparameters: { lr: 1 },
    update: ({ param, grad }, { lr }) => ({ param: sub(param, mul(lr, grad)) }),
  });
  const [g, d] = [Float32Array.of(8), Float32Array.of(8)];
  const dict = new OptimWrapperDict({
    generator: createOptimWrapper(arrayOptimizer(slow(), { g })),
    discriminator: createOptimWrapper(arrayOptimizer(descent(), { d })),
  });
  dict.get("generator").updateParams(() => ({ g: [4] }));
  dict.get("discriminator").updateParams(() => ({ d: [4] }));
  // g = 4, x = 8 + 0.5 × (4 − 8)
  expect(await dict.evaluating(() => [g[0], d[0]])).toEqual([6, 4]);
  expect([g[0], d[0]]).toEqual([4, 4]);
  const nested = await refusal(() => dict.evaluating(() => dict.evaluating(() => 1)));
  expect([nested.code, nested.message]).toEqual([
    "evaluating",
    expect.stringContaining("generator.array optimizer: swapIn"),
  ]);
  expect([g[0], d[0]]).toEqual([4, 4]);
});
