import { buildOptimWrapper, buildOptimWrapperDict, explain, formatExplanation } from "@mm/optim-config";
import { createOptimWrapper } from "@mm/optim-core";
import { adafactor, adamw, muon, norMuon, rprop, sgd } from "@mm/optim-rules";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: wasmOptimizer, rules: { adamw, rprop, sgd } };
const names = ["actor.fc.weight", "actor.fc.bias", "critic.weight"];
const shared = Float32Array.of(1);
const model = {
  ...Object.fromEntries(names.map((name) => [name, new Float32Array(6)])),
  "critic.a": shared,
  "critic.b": shared,
};

const build = () =>
  buildOptimWrapperDict(
    model,
    {
      wrappers: {
        actor: {
          optimizer: { type: "adamw", lr: 0.0125 },
          paramwise: [
            { match: { kind: "bias" }, decayMult: 0 },
            { match: "fc.*", lrMult: 0.2, frozen: true },
          ],
        },
        critic: { optimizer: { type: "rprop" } },
      },
    },
    parts,
  );

describe("explain", () => {
  test("tells of every parameter what holds for it, and why", () => {
    const optim = build();
    expect(explain(optim)).toEqual([
      {
        wrapper: "actor",
        parameter: "fc.weight",
        aliases: [],
        shape: [6],
        group: "fc.*",
        rule: "AdamW",
        lr: 0.0125 * 0.2,
        weightDecay: 0.01,
        slotBytes: 48,
        frozen: true,
        why: ["fc.*"],
      },
      {
        wrapper: "actor",
        parameter: "fc.bias",
        aliases: [],
        shape: [6],
        group: "bias + fc.*",
        rule: "AdamW",
        lr: 0.0125 * 0.2,
        weightDecay: 0,
        slotBytes: 48,
        frozen: true,
        why: ["bias", "fc.*"],
      },
      // Rprop has no decay.
      {
        wrapper: "critic",
        parameter: "weight",
        aliases: [],
        shape: [6],
        group: "0",
        rule: "Rprop",
        lr: 0.01,
        slotBytes: 48,
        frozen: false,
        why: [],
      },
      {
        wrapper: "critic",
        parameter: "a",
        aliases: ["b"],
        shape: [1],
        group: "0",
        rule: "Rprop",
        lr: 0.01,
        slotBytes: 8,
        frozen: false,
        why: [],
      },
    ]);
    optim.dispose();
  });

  test("as of the call", () => {
    const optim = build();
    const actor = optim.get("actor");
    actor.paramGroups[0].lr = 3;
    actor.unfreeze(["fc.weight"]);
    actor.addParamGroup({ name: "late", params: { extra: new Float32Array(2) } });
    const rows = explain(actor);
    expect(rows.map(({ parameter, group, lr, frozen }) => [parameter, group, lr, frozen])).toEqual([
      ["fc.weight", "fc.*", 3, false],
      ["fc.bias", "bias + fc.*", 0.0025000000000000005, true],
      ["extra", "late", 0.0125, false],
    ]);
    // One wrapper needs no name.
    expect(rows[0]).not.toHaveProperty("wrapper");
    optim.dispose();
  });

  test("counts the bytes of slots: 4 an element, 2 in bfloat16, as the hyperparameters are now", () => {
    const optimizer = wasmOptimizer(
      adamw(),
      [
        { params: { w: new Float32Array(10) } },
        { name: "sgd", params: { v: new Float32Array(10) }, rule: sgd() },
        { params: { m: new Float32Array(6) }, shapes: { m: [2, 3] }, rule: muon() },
        { params: { n: new Float32Array(6) }, shapes: { n: [2, 3] }, rule: adafactor() },
        { params: { o: new Float32Array(6) }, shapes: { o: [2, 3] }, rule: norMuon() },
      ],
      { slotDtype: "bfloat16" },
    );
    const optim = createOptimWrapper(optimizer);
    const bytes = () => explain(optim).map(({ slotBytes }) => slotBytes);
    // Two averages of ten; none; one of six; float32 per row and column, (2 + 3)·4; one of six, and 2 rows in float32.
    expect(bytes()).toEqual([40, 0, 12, 20, 20]);
    optim.paramGroups
      .filter((group) => group.name === "sgd")
      .forEach((group) => Object.assign(group, { momentum: 0.9 }));
    expect(bytes()).toEqual([40, 20, 12, 20, 20]);
    optim.dispose();
    const whole = createOptimWrapper(wasmOptimizer(adamw(), { w: new Float32Array(10) }));
    expect(explain(whole)[0]?.slotBytes).toBe(80);
    // Whoever copies or compares what a parameter is has no need of it.
    expect(Object.keys(whole.optimizer.parameters[0] ?? {})).toEqual(["name", "shape", "group"]);
    whole.dispose();
  });

  test("without a configuration there is no why", () => {
    const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }));
    expect(explain([["main", optim]])).toMatchObject([{ wrapper: "main", parameter: "w", lr: 1, why: [] }]);
    optim.dispose();
  });

  test("refuses what is no wrapper", () => {
    expect(thrownBy(() => explain(3 as never)).code).toBe("invalid-wrapper");
  });
});

describe("the table", () => {
  test("of a dict", () => {
    const optim = build();
    expect(formatExplanation(explain(optim)).split("\n")).toEqual([
      "wrapper  parameter  shape  group        rule   lr      decay  slot bytes  frozen  why",
      "───────  ─────────  ─────  ───────────  ─────  ──────  ─────  ──────────  ──────  ──────────",
      "actor    fc.weight  6      fc.*         AdamW  0.0025  0.01   48          yes     fc.*",
      "actor    fc.bias    6      bias + fc.*  AdamW  0.0025  0      48          yes     bias, fc.*",
      "critic   weight     6      0            Rprop  0.01           48",
      "critic   a = b      1      0            Rprop  0.01           8",
    ]);
    optim.dispose();
  });

  test("of a wrapper", () => {
    const config = {
      optimizer: { type: "sgd", lr: 0.1, weightDecay: 0.5 },
      paramwise: { biasDecayMult: 0, customKeys: { critic: { lrMult: 10 } } },
    } as const;
    const { "critic.b": _, ...once } = model;
    const optim = buildOptimWrapper(once, config, parts);
    expect(formatExplanation(explain(optim)).split("\n")).toEqual([
      "parameter        shape  group            rule  lr   decay  slot bytes  frozen  why",
      "───────────────  ─────  ───────────────  ────  ───  ─────  ──────────  ──────  ────────────────────",
      "actor.fc.weight  6      actor.fc.weight  SGD   0.1  0.5    0",
      "actor.fc.bias    6      actor.fc.bias    SGD   0.1  0      0                   biasDecayMult",
      'critic.weight    6      critic.weight    SGD   1    0.5    0                   customKeys["critic"]',
      'critic.a         1      critic.a         SGD   1    0.5    0                   customKeys["critic"]',
    ]);
    optim.dispose();
  });
});
