import {
  buildOptimWrapper,
  buildOptimWrapperDict,
  buildScheduler,
  buildSchedulerDict,
} from "@mm/optim-config";
import { adam, sgd } from "@mm/optim-rules";
import { constant, cosine, exponential, linear, sequence } from "@mm/optim-schedule";
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

describe("schedules of schedules", () => {
  const registries = { ...parts, schedules: { ...parts.schedules, sequence, exponential } };

  test("a sequence is written as it is made", () => {
    const config = {
      optimizer: { type: "sgd", lr: 8 },
      schedules: {
        lr: {
          type: "sequence",
          schedules: [
            { type: "linear", startFactor: 0.5, length: 2 },
            { type: "cosine", length: 3 },
          ],
          milestones: [2],
        },
        accumulativeCounts: { type: "constant", factor: 3 },
      },
    } as const;
    const optim = buildOptimWrapper(model(), config, registries);
    const scheduler = buildScheduler(optim, config, registries);
    const seen = [0, 1, 2, 3, 4, 5].map((updates) => scheduler.at({ updates })["lr"]?.[0]);
    // As in packages/optim-schedule: cos 0°, 60°, 120°, 180°, to a rounding of float64.
    expect(seen.map((value) => Number(value?.toFixed(14)))).toEqual([4, 6, 8, 6, 2, 0]);
    expect(optim.accumulativeCounts).toBe(3);
    optim.dispose();
  });

  test.each([
    [{ type: "cosin", length: 3 }, '.type: expected "constant" or "cosine"'],
    [{ type: "cosine", length: 0 }, ".length: expected an integer of at least 1, got 0"],
    [3, ": expected an object, got 3"],
    [{ type: "sequence", schedules: [3], milestones: [] }, ".schedules[0]: expected an object, got 3"],
  ])("what is wrong in a part is refused with its path: %j", (part, message) => {
    const config = {
      optimizer: { type: "sgd" },
      schedules: { lr: { type: "sequence", schedules: [part], milestones: [] } },
    };
    expect(thrownBy(() => buildOptimWrapper(model(), config as never, registries)).message).toContain(
      `config.schedules.lr.schedules[0]${message}`,
    );
  });
});

describe("schedules that are written in epochs", () => {
  const config = {
    optimizer: { type: "sgd", lr: 8 },
    schedules: { lr: { type: "cosine", length: 2, by: "epoch", convertToUpdates: true } },
  } as const;

  test("move at every update, of which buildScheduler is told how many an epoch has", () => {
    const optim = buildOptimWrapper(model(), config, parts);
    const scheduler = buildScheduler(optim, config, { ...parts, updatesPerEpoch: 3 });
    // Half a cosine in 2 × 3 updates: at 2 of 6 it is cos 60°.
    expect(scheduler.at({ updates: 2 })["lr"]?.[0]).toBeCloseTo(6, 14);
    expect(scheduler.stateDict().hyperparameters["lr"]?.schedules[0]?.options).toEqual({
      length: 6,
      by: "update",
    });
    optim.dispose();
  });

  test("of a dict, one number for all or one for each", () => {
    const dict = { wrappers: { a: config, b: config } } as const;
    const lengths = (updatesPerEpoch: number | { a: number; b: number }) => {
      const optim = buildOptimWrapperDict(model(), dict, parts);
      const saved = buildSchedulerDict(optim, dict, { ...parts, updatesPerEpoch }).stateDict().schedulers;
      optim.dispose();
      return [saved.a, saved.b].map((one) => one.hyperparameters["lr"]?.schedules[0]?.options["length"]);
    };
    expect(lengths(3)).toEqual([6, 6]);
    expect(lengths({ a: 3, b: 5 })).toEqual([6, 10]);
  });

  test("are refused where nobody says it, and where they cannot be converted", () => {
    const optim = buildOptimWrapper(model(), config, parts);
    expect(thrownBy(() => buildScheduler(optim, config, parts)).message).toBe(
      "config.schedules.lr: updatesPerEpoch: expected an integer of at least 1, got undefined",
    );
    expect(optim.getLr()).toEqual({ lr: [8] });
    optim.dispose();
    const refused = (lr: object): string =>
      thrownBy(() => buildOptimWrapper(model(), { ...config, schedules: { lr } } as never, parts)).message;
    expect(refused({ type: "cosine", length: 2, convertToUpdates: true })).toBe(
      'config.schedules.lr: by: expected "epoch", got "update"',
    );
    expect(refused({ type: "cosine", length: 2, by: "epoch", convertToUpdates: 1 })).toBe(
      "config.schedules.lr.convertToUpdates: expected true or false, got 1",
    );
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
