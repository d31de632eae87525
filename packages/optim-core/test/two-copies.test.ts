import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { decodeCheckpoint, encodeCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { buildOptimWrapper, explain } from "@mm/optim-config";
import { testOptimizer } from "@mm/optim-conformance";
import * as core from "@mm/optim-core";
import * as dict from "@mm/optim-dict";
import * as rules from "@mm/optim-rules";
import * as schedule from "@mm/optim-schedule";
import * as wasm from "@mm/optim-wasm";
import { afterAll, describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { wasmFactory } from "../../optim-wasm/test/factory.ts";

// As where one dependency brings a release of its own: the same packages a second time, as they are built, in a `node_modules` in which they find
// each other and nothing of the first.

const second = mkdtempSync(join(tmpdir(), "second-"));
afterAll(() => rmSync(second, { recursive: true }));

/** The second copy of a package. */
async function install<M>(name: string): Promise<M> {
  const from = fileURLToPath(new URL(`../../${name}`, import.meta.url));
  const to = join(second, "node_modules/@mm", name);
  if (!existsSync(join(from, "dist/index.js")))
    throw new Error(`npm run build makes ${name}/dist, of which a copy is tested`);
  for (const part of ["package.json", "dist"]) cpSync(join(from, part), join(to, part), { recursive: true });
  return (await import(/* @vite-ignore */ pathToFileURL(join(to, "dist/index.js")).href)) as M;
}

const other = {
  core: await install<typeof core>("optim-core"),
  rules: await install<typeof rules>("optim-rules"),
  wasm: await install<typeof wasm>("optim-wasm"),
  dict: await install<typeof dict>("optim-dict"),
  schedule: await install<typeof schedule>("optim-schedule"),
};
const both = { here: { core, rules, wasm, dict, schedule }, there: other };
const pairs = [
  ["here", "there"],
  ["there", "here"],
] as const;

const step: wasm.WasmLoss<"w"> = ({ grad, scale }) => {
  grad("w")[0] = 2 * scale;
  return 1;
};

test("they are two copies", () => {
  expect(other.core.createOptimWrapper).not.toBe(core.createOptimWrapper);
  expect(other.core.OptimError).not.toBe(core.OptimError);
});

// Rules, wrappers and loss scalers of the one on a backend of the other.
testOptimizer({
  test,
  factory: { ...wasmFactory, name: "wasm of another copy", createOptimizer: other.wasm.wasmOptimizer },
});

describe.each(pairs)("%s and %s", (ours, theirs) => {
  const [a, b] = [both[ours], both[theirs]];
  /** A wrapper of the one, around an optimizer of the other, whose rule is a combinator of the one around a rule of the other. */
  const mixed = (w: Float32Array, options: core.OptimWrapperOptions = {}) =>
    a.core.createOptimWrapper(b.wasm.wasmOptimizer(a.rules.ema(b.rules.adamw({ lr: 0.5 })), { w }), options);

  test("a rule of one around a rule of the other, in a wrapper of one on a backend of the other", () => {
    const [w, expected] = [Float32Array.of(1), Float32Array.of(1)];
    const wrapper = mixed(w, { accumulativeCounts: 2 });
    const plain = core.createOptimWrapper(
      wasm.wasmOptimizer(rules.ema(rules.adamw({ lr: 0.5 })), { w: expected }),
      { accumulativeCounts: 2 },
    );
    for (const optim of [wrapper, plain]) for (const _ of [1, 2, 3, 4]) optim.updateParams(step);
    expect(w).toEqual(expected);
    expect(w[0]).toBeLessThan(1);
  });

  test("groups of two rules, each of another copy", () => {
    const [w, v] = [Float32Array.of(0), Float32Array.of(0)];
    const optimizer = a.wasm.wasmOptimizer(a.rules.sgd({ lr: 1 }), [
      { params: { w } },
      { params: { v }, rule: b.rules.sgd({ lr: 0.5 }) },
    ]);
    optimizer.backward(({ grad }) => (grad("w")[0] = grad("v")[0] = 4));
    optimizer.step();
    expect([...w, ...v]).toEqual([-4, -2]);
  });

  test("a dict of one holds wrappers of both; states go from one to the other, through files too", async () => {
    const make = () => {
      const w = Float32Array.of(1);
      return new a.dict.OptimWrapperDict({
        mixed: mixed(w, { lossScale: "dynamic" }),
        theirs: b.core.createOptimWrapper(
          b.wasm.wasmOptimizer(b.rules.sgd({ momentum: 0.5 }), { w: Float32Array.of(1) }),
        ),
      });
    };
    const source = make();
    for (const [, wrapper] of source) wrapper.updateParams(step);
    const state = await source.stateDict();
    const target = make();
    const staged = target.prepareLoad(state);
    staged.commit();
    expect(await target.stateDict()).toEqual(state);
    const file = encodeCheckpoint(await takeCheckpoint(source)).bytes();
    const third = make();
    await third.loadStateDict((await decodeCheckpoint(file)).optim as typeof state);
    expect(await third.stateDict()).toEqual(state);
  });

  test("errors of one are known to the other, by their code", async () => {
    const error = thrownBy(() => b.wasm.wasmOptimizer(a.rules.sgd(), {}));
    expect([a.core.isOptimError(error), b.core.isOptimError(error), error.code]).toEqual([
      true,
      true,
      "empty-parameters",
    ]);
    const state = await mixed(Float32Array.of(1)).stateDict();
    const strange = b.core.createOptimWrapper(
      b.wasm.wasmOptimizer(b.rules.sgd(), { v: new Float32Array(1) }),
    );
    const { code, missing } = thrownBy(() => strange.prepareLoad(state));
    expect([code, missing]).toEqual(["state-mismatch", expect.arrayContaining(["v"])]);
  });

  test("an optimizer that a wrapper of one has is refused by the other", () => {
    const { optimizer } = mixed(Float32Array.of(1));
    for (const { createOptimWrapper } of [a.core, b.core]) {
      expect(thrownBy(() => createOptimWrapper(Object.create(optimizer) as typeof optimizer)).code).toBe(
        "duplicate-wrapper",
      );
    }
  });

  test("a loss scaler of one serves wrappers of both", async () => {
    const optimizers = [a, b].map((copy) =>
      copy.wasm.wasmOptimizer(copy.rules.sgd({ lr: 1 }), { w: Float32Array.of(0) }),
    );
    const scaler = optimizers[1]!.createLossScaler({ initScale: 8 });
    const wrappers = [a, b].map(({ core: { createOptimWrapper } }, index) =>
      createOptimWrapper(optimizers[index]!, { lossScale: scaler }),
    );
    for (const wrapper of wrappers) wrapper.updateParams(step);
    scaler.update();
    expect((await wrappers[0]!.readMetrics()).lossScale).toBe(8);
    expect((await wrappers[0]!.optimizer.readParameters())["w"]).toEqual(Float32Array.of(-2));
  });

  test("a scheduler of one drives a wrapper of the other, and the other knows of it", () => {
    const wrapper = mixed(Float32Array.of(1));
    const plan = { lr: a.schedule.linear({ startFactor: 0.5, length: 2 }) };
    const scheduler = a.schedule.createScheduler(wrapper, plan);
    scheduler.step({ updated: true });
    expect(wrapper.getLr().lr).toEqual([0.375]);
    expect(thrownBy(() => b.schedule.createScheduler(wrapper, plan)).message).toContain(
      "no other scheduler drives",
    );
    // Schedules are shared, too.
    b.schedule.createScheduler(wrapper, { "betas[0]": plan.lr });
    expect(wrapper.getMomentum().momentum).toEqual([0.45]);
  });

  test("a configuration builds with the rules of one and the backend of the other", () => {
    const optim = buildOptimWrapper(
      { w: new Float32Array(2), b: new Float32Array(1) },
      { optimizer: { type: "adamw", lr: 0.25 }, paramwise: [{ match: "b", rule: { type: "sgd", lr: 0.5 } }] },
      { optimizer: a.wasm.wasmOptimizer, rules: { adamw: b.rules.adamw, sgd: a.rules.sgd } },
    );
    expect(explain(optim).map(({ rule, lr }) => [rule, lr])).toEqual([
      ["AdamW", 0.25],
      ["SGD", 0.5],
    ]);
  });
});
