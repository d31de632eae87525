import {
  buildOptimWrapper,
  buildOptimWrapperDict,
  buildScheduler,
  buildSchedulerDict,
} from "@mm/optim-config";
import { adam, sgd } from "@mm/optim-rules";
import { constant, cosine, linear } from "@mm/optim-schedule";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: wasmOptimizer, rules: { adam, sgd }, schedules: { constant, cosine, linear } };
const model = () => ({ "a.w": Float32Array.of(1), "a.bias": Float32Array.of(1), "b.w": Float32Array.of(1) });
const updated = { updated: true };

describe("schedules of a configuration", () => {
  test("drive every group, and the base", () => {
    const config = {
      optimizer: { type: "sgd", lr: 1 },
      paramwise: { biasLrMult: 2 },
      scaleLr: { baseBatchSize: 1, batchSize: 4 },
      schedules: {
        lr: [
          { type: "linear", startFactor: 0.5, length: 2 },
          { type: "linear", begin: 2, startFactor: 1, endFactor: 0, length: 4 },
        ],
      },
    } as const;
    const optim = buildOptimWrapper(model(), config, parts);
    const scheduler = buildScheduler(optim, config, parts);
    const lr = (): readonly number[] => [...(optim.getLr().baseLr ?? []), ...optim.getLr().lr];
    const seen = [lr()];
    for (let count = 1; count <= 6; count += 1) {
      scheduler.step(updated);
      seen.push(lr());
    }
    // 4 = 1 × the batch; biases at twice the rate. Half, three quarters, the whole; then down in four counts.
    expect(seen).toEqual(
      [0.5, 0.75, 1, 0.75, 0.5, 0.25, 0].map((part) => [4 * part, 4 * part, 8 * part, 4 * part]),
    );
    optim.dispose();
  });

  test("are none where none are written: the scheduler counts", () => {
    const config = { optimizer: { type: "sgd", lr: 1 } } as const;
    const optim = buildOptimWrapper(model(), config, parts);
    const scheduler = buildScheduler(optim, config, parts);
    scheduler.step(updated);
    expect([scheduler.updates, optim.getLr()]).toEqual([1, { lr: [1] }]);
    optim.dispose();
  });

  test("of a dict are each wrapper's own", () => {
    const config = {
      wrappers: {
        a: {
          optimizer: { type: "sgd", lr: 1, momentum: 0.5 },
          schedules: { momentum: { type: "constant", factor: 0.5 } },
        },
        b: { optimizer: { type: "adam", lr: 1 }, schedules: { "betas[1]": { type: "constant", factor: 0 } } },
      },
    } as const;
    const optim = buildOptimWrapperDict(model(), config, parts);
    const schedulers = buildSchedulerDict(optim, config, parts);
    expect(optim.getMomentum()).toEqual({ "a.momentum": [0.25], "b.momentum": [0.9] });
    expect(optim.get("b").paramGroups[0].betas).toEqual([0.9, 0]);
    schedulers.get("b").step(updated);
    expect([schedulers.get("a").updates, schedulers.get("b").updates]).toEqual([0, 1]);
    optim.dispose();
  });
});

describe("what is refused of schedules", () => {
  const refused = (
    schedules: object,
    run: (config: never) => unknown = (config) => buildOptimWrapper(model(), config, parts),
  ): string => thrownBy(() => run({ optimizer: { type: "sgd" }, schedules } as never)).message;

  test("when the wrapper is built, with the path", () => {
    expect(refused({ lr: { type: "cosin", length: 3 } })).toBe(
      'config.schedules.lr.type: expected "constant" or "cosine" or "linear", got "cosin"',
    );
    expect(refused({ lr: [{ type: "linear", length: 3 }, { type: "cosine" }] })).toBe(
      "config.schedules.lr[1].length: expected counts down to the floor (or tMax, to go up again), got undefined",
    );
    expect(refused({ betas: { type: "linear", length: 3 } })).toMatch(
      /^config\.schedules: expected one of lr, momentum/,
    );
    expect(refused({ "betas[0]": { type: "linear", length: 0 } })).toMatch(
      /^config\.schedules\["betas\[0\]"\]\.length: expected an integer of at least 1, got 0/,
    );
  });

  test("and when the scheduler is, for whoever built the wrapper otherwise", () => {
    const optim = buildOptimWrapper(model(), { optimizer: { type: "sgd" } }, parts);
    const build = (config: never): unknown => buildScheduler(optim, config, parts);
    expect(refused({ lr: { type: "linear", length: 0 } }, build)).toMatch(
      /^config\.schedules\.lr\.length: expected/,
    );
    expect(refused({ lr: 3 }, build)).toMatch(
      /^config\.schedules\.lr: expected an object or an array, got 3/,
    );
    expect(refused({ nonsense: { type: "linear", length: 1 } }, build)).toMatch(
      /^config\.schedules: expected one of lr/,
    );
    expect(optim.getLr()).toEqual({ lr: [1e-3] });
    optim.dispose();
  });

  test("a dict's schedules of a wrapper that it does not have", () => {
    const optim = buildOptimWrapperDict(
      model(),
      { wrappers: { all: { params: "**", optimizer: { type: "sgd" } } } },
      parts,
    );
    const { code, message } = thrownBy(() =>
      buildSchedulerDict(optim, { wrappers: { al: {} } } as never, parts),
    );
    expect([code, message]).toEqual(["unknown-name", 'config.wrappers: expected one of all, got "al"']);
    optim.dispose();
  });
});
