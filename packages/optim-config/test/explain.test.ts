import { buildOptimWrapper, buildOptimWrapperDict, explain, formatExplanation } from "@mm/optim-config";
import { createOptimWrapper } from "@mm/optim-core";
import { adamw, rprop, sgd } from "@mm/optim-rules";
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
      "wrapper  parameter  shape  group        rule   lr      decay  frozen  why",
      "───────  ─────────  ─────  ───────────  ─────  ──────  ─────  ──────  ──────────",
      "actor    fc.weight  6      fc.*         AdamW  0.0025  0.01   yes     fc.*",
      "actor    fc.bias    6      bias + fc.*  AdamW  0.0025  0      yes     bias, fc.*",
      "critic   weight     6      0            Rprop  0.01",
      "critic   a = b      1      0            Rprop  0.01",
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
      "parameter        shape  group            rule  lr   decay  frozen  why",
      "───────────────  ─────  ───────────────  ────  ───  ─────  ──────  ────────────────────",
      "actor.fc.weight  6      actor.fc.weight  SGD   0.1  0.5",
      "actor.fc.bias    6      actor.fc.bias    SGD   0.1  0              biasDecayMult",
      'critic.weight    6      critic.weight    SGD   1    0.5            customKeys["critic"]',
      'critic.a         1      critic.a         SGD   1    0.5            customKeys["critic"]',
    ]);
    optim.dispose();
  });
});
