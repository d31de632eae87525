import { buildOptimWrapper, buildScheduler, explain, parseOptimWrapperConfig } from "@mm/optim-config";
import * as allRules from "@mm/optim-rules";
import { adamw, ema, sgd } from "@mm/optim-rules";
import { exponential } from "@mm/optim-schedule";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const rules = { adamw, sgd, ema };
const parts = { optimizer: wasmOptimizer, rules, schedules: { exponential } };
const model = () => ({
  "hidden.weight": new Float32Array(2),
  "hidden.bias": new Float32Array(2),
  "head.weight": new Float32Array(2),
});
const base = { type: "adamw", lr: 0.5, weightDecay: 0.25 } as const;

describe("an entry with a rule of its own", () => {
  test("gives its parameters to that rule; factors multiply what that has", () => {
    const optim = buildOptimWrapper(
      model(),
      {
        optimizer: base,
        paramwise: [
          { match: "hidden.weight", name: "hidden", rule: { type: "sgd", lr: 2, momentum: 0.75 } },
          { match: "**.weight", name: "weights", lrMult: 0.5 },
        ],
      },
      parts,
    );
    expect(optim.paramGroups.map((group) => ({ ...group }))).toMatchObject([
      { name: "hidden + weights", lr: 1, momentum: 0.75, weightDecay: 0 },
      { name: "others", lr: 0.5, betas: [0.9, 0.999], weightDecay: 0.25 },
      { name: "weights", lr: 0.25, betas: [0.9, 0.999], weightDecay: 0.25 },
    ]);
    expect(explain(optim).map(({ parameter, rule }) => [parameter, rule])).toEqual([
      ["hidden.weight", "SGD"],
      ["hidden.bias", "AdamW"],
      ["head.weight", "AdamW"],
    ]);
    optim.dispose();
  });

  test("is scaled by scaleLr as all are, the rule's own default too", () => {
    const optim = buildOptimWrapper(
      model(),
      {
        optimizer: base,
        scaleLr: { baseBatchSize: 16, batchSize: 64 },
        paramwise: [{ match: "hidden.*", rule: { type: "sgd" } }],
      },
      parts,
    );
    // × 64 ÷ 16
    expect(optim.getLr()).toEqual({ baseLr: [2], lr: [4 * sgd().hyperparameters.lr, 2] });
    optim.dispose();
  });

  test("of several the last counts", () => {
    const optim = buildOptimWrapper(
      model(),
      {
        optimizer: { type: "sgd" },
        paramwise: [
          { match: "**", name: "all", rule: { type: "adamw" } },
          { match: "head.*", name: "head", rule: { type: "sgd", lr: 3 } },
        ],
      },
      parts,
    );
    expect(explain(optim).map(({ rule }) => rule)).toEqual(["AdamW", "AdamW", "SGD"]);
    optim.dispose();
  });

  test("is driven by the schedules of what it has", () => {
    const config = {
      optimizer: base,
      paramwise: [{ match: "hidden.*", rule: { type: "sgd", lr: 2, momentum: 0.5 } }],
      schedules: { momentum: { type: "exponential", gamma: 0.5 }, lr: { type: "exponential", gamma: 0.5 } },
    } as const;
    const optim = buildOptimWrapper(model(), config as never, parts);
    const scheduler = buildScheduler(optim, config as never, parts);
    scheduler.step({ updated: true });
    expect([optim.getLr(), optim.getMomentum()]).toEqual([
      { baseLr: [0.25], lr: [1, 0.25] },
      { momentum: [0.25, 0.45] },
    ]);
    optim.dispose();
  });

  test.each([
    [[{ match: "**", rule: { type: "sgdd" } }], "invalid-option", "config.paramwise"],
    [[{ match: "**", rule: { type: "ema" } }], "invalid-rule", "config.paramwise[0].rule.type"],
    [[{ match: "**", rule: { type: "sgd", betas: [0, 0] } }], "unknown-option", "betas"],
    [
      [{ match: "**", rule: { type: "sgd", momentum: -1 } }],
      "invalid-hyperparameter",
      "config.paramwise[0].rule",
    ],
    [[{ match: "**", rule: { type: "sgd" }, betas: [0, 0] }], "unknown-option", "config.paramwise[0]"],
    // Meant for AdamW, and reaches a parameter that follows SGD.
    [
      [
        { match: "head.*", rule: { type: "sgd" } },
        { match: "**", betas: [0, 0] },
      ],
      "unknown-option",
      "config.paramwise[1]",
    ],
  ])("%j is refused as %s", (paramwise, code, place) => {
    const error = thrownBy(() => buildOptimWrapper(model(), { optimizer: base, paramwise } as never, parts));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(place)]);
  });
});

describe("rules around a rule", () => {
  test("are put on in order, with their options, and scheduled and scaled with the rest", () => {
    const optim = buildOptimWrapper(
      model(),
      {
        optimizer: { ...base, wrap: [{ type: "cautious" }, { type: "ema", emaDecay: 0.5 }] },
        scaleLr: { baseBatchSize: 1, batchSize: 2 },
      },
      { optimizer: wasmOptimizer, rules: allRules },
    );
    expect(optim.optimizer.rule).toBe(allRules.ema(allRules.cautious(adamw())).name);
    expect(optim.paramGroups[0]).toMatchObject({ lr: 1, emaDecay: 0.5 });
    optim.dispose();
  });

  test.each([
    [[{ type: "sgd" }], "invalid-rule", "config.optimizer.wrap[0].type"],
    [[{ type: "nothing" }], "invalid-rule", "config.optimizer.wrap[0].type"],
    [[{ type: "ema", decay: 0.5 }], "unknown-option", "config.optimizer.wrap[0]"],
    [[{ type: "ema", emaDecay: 2 }], "invalid-hyperparameter", "config.optimizer.wrap[0]"],
    [[{ type: "ema" }, { type: "ema" }], "invalid-rule", "config.optimizer.wrap[1]"],
  ])("%j is refused as %s", (wrap, code, place) => {
    const config = { optimizer: { ...base, wrap } };
    const error = thrownBy(() => parseOptimWrapperConfig(config, { rules }));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(place)]);
  });
});
