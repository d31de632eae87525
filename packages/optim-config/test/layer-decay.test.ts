import { buildOptimWrapper, buildOptimWrapperDict, explain, type LayerDecay } from "@mm/optim-config";
import { adamw, sgd } from "@mm/optim-rules";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: wasmOptimizer, rules: { adamw, sgd } };
const model = (...names: readonly string[]): { readonly [name: string]: Float32Array } =>
  Object.fromEntries(names.map((name) => [name, new Float32Array(2)]));

/** A vision transformer of two blocks, by the names that timm gives. */
const vit = model(
  "cls_token",
  "pos_embed",
  "patch_embed.proj.weight",
  "blocks.0.attn.qkv.weight",
  "blocks.0.attn.qkv.bias",
  "blocks.1.mlp.fc1.weight",
  "norm.weight",
  "head.weight",
  "head.bias",
);
const layers = [["cls_token", "pos_embed", "patch_embed.**"], { regex: "^blocks\\.(\\d+)\\." }];
const byName = (optim: Parameters<typeof explain>[0], of: "lr" | "weightDecay" | "group" = "lr") =>
  Object.fromEntries(explain(optim).map((row) => [row.parameter, row[of]]));

describe("layerDecay", () => {
  test("gives each layer rate × the learning rate of the one above it", () => {
    const optim = buildOptimWrapper(
      vit,
      { optimizer: { type: "adamw", lr: 8 }, layerDecay: { rate: 0.5, layers } },
      parts,
    );
    // Three layers below what no entry matches, as MMPretrain counts: 8 × 0.5³, 0.5², 0.5¹, 0.5⁰.
    expect(byName(optim)).toEqual({
      cls_token: 1,
      pos_embed: 1,
      "patch_embed.proj.weight": 1,
      "blocks.0.attn.qkv.weight": 2,
      "blocks.0.attn.qkv.bias": 2,
      "blocks.1.mlp.fc1.weight": 4,
      "norm.weight": 8,
      "head.weight": 8,
      "head.bias": 8,
    });
    expect(optim.paramGroups.map(({ name, lr }) => [name, lr])).toEqual([
      ["layer 0 of 3", 1],
      ["layer 1 of 3", 2],
      ["layer 2 of 3", 4],
      ["layer 3 of 3", 8],
    ]);
    expect(explain(optim)[0]?.why).toEqual(["layerDecay: layer 0 of 3"]);
    optim.dispose();
  });

  test("takes the base rate, and factors multiply it, in both forms of paramwise and with scaleLr", () => {
    const config = {
      optimizer: { type: "sgd", lr: 1, weightDecay: 0.5 },
      layerDecay: { rate: 0.5, layers },
    } as const;
    const listed = buildOptimWrapper(
      vit,
      {
        ...config,
        scaleLr: { baseBatchSize: 1, batchSize: 4 },
        paramwise: [
          { match: { kind: "bias" }, lrMult: 2, decayMult: 0 },
          { match: "norm.*", lr: 3 },
        ],
      },
      parts,
    );
    expect(byName(listed)).toMatchObject({
      cls_token: 0.5, // 1 × 4 × 0.5³
      "blocks.0.attn.qkv.weight": 1, // 1 × 4 × 0.5²
      "blocks.0.attn.qkv.bias": 2, // 2 × that
      "norm.weight": 12, // 3 × 4
      "head.weight": 4,
      "head.bias": 8,
    });
    expect(byName(listed, "group")).toMatchObject({
      cls_token: "others + layer 0 of 3",
      "blocks.0.attn.qkv.bias": "bias + layer 1 of 3",
      "head.bias": "bias + layer 3 of 3",
    });
    expect(byName(listed, "weightDecay")).toMatchObject({ "blocks.0.attn.qkv.bias": 0, cls_token: 0.5 });
    listed.dispose();

    const asMmengine = buildOptimWrapper(
      vit,
      { ...config, paramwise: { biasDecayMult: 0, customKeys: { head: { lrMult: 10 } } } },
      parts,
    );
    expect(byName(asMmengine)).toMatchObject({
      "blocks.0.attn.qkv.bias": 0.25,
      "blocks.1.mlp.fc1.weight": 0.5,
      "norm.weight": 1,
      "head.weight": 10,
    });
    expect(byName(asMmengine, "group")).toMatchObject({
      cls_token: "cls_token",
      "norm.weight": "norm.weight",
    });
    expect(byName(asMmengine, "weightDecay")).toMatchObject({ "blocks.0.attn.qkv.bias": 0 });
    asMmengine.dispose();
  });

  test("multiplies the rate of another rule, too", () => {
    const optim = buildOptimWrapper(
      vit,
      {
        optimizer: { type: "adamw", lr: 1 },
        paramwise: [{ match: "blocks.**", rule: { type: "sgd", lr: 16 } }],
        layerDecay: { rate: 0.5, layers },
      },
      parts,
    );
    expect(byName(optim)).toMatchObject({ "blocks.0.attn.qkv.weight": 4, "head.bias": 1 });
    optim.dispose();
  });

  test("counts numbers as they are there, in their order; of two entries the first", () => {
    const optim = buildOptimWrapper(
      model("b.10.w", "b.2.w", "b.2.special", "head"),
      {
        optimizer: { type: "sgd", lr: 8 },
        layerDecay: { rate: 0.5, layers: ["**.special", { regex: "^b\\.(\\d+)" }] },
      },
      parts,
    );
    expect(byName(optim)).toEqual({ "b.2.special": 1, "b.2.w": 2, "b.10.w": 4, head: 8 });
    optim.dispose();
  });

  test("puts a tied parameter into its lowest layer", () => {
    const table = new Float32Array(2);
    const optim = buildOptimWrapper(
      { "head.weight": table, ...model("blocks.0.w"), "embed.weight": table },
      {
        optimizer: { type: "sgd", lr: 8 },
        layerDecay: { rate: 0.5, layers: ["embed.*", "blocks.**"] },
      },
      parts,
    );
    expect(byName(optim)).toEqual({ "head.weight": 2, "blocks.0.w": 4 });
    optim.dispose();
  });

  test("is each wrapper's own in a dict", () => {
    const optim = buildOptimWrapperDict(
      model("a.low", "a.high", "b.low"),
      {
        wrappers: {
          a: { optimizer: { type: "sgd", lr: 1 }, layerDecay: { rate: 0.5, layers: ["low"] } },
          b: { optimizer: { type: "sgd", lr: 1 } },
        },
      },
      parts,
    );
    expect(explain(optim).map(({ lr }) => lr)).toEqual([0.5, 1, 1]);
    optim.dispose();
  });
});

test.each<readonly [string, LayerDecay, string, string]>([
  [
    "an entry that matches nothing",
    { rate: 0.5, layers: ["blocks.**", "stem.*"] },
    "unknown-parameter",
    "config.layerDecay.layers[1]: expected a match among the parameters that no entry before it has",
  ],
  [
    "an entry of which others have all",
    { rate: 0.5, layers: ["**", "norm.*"] },
    "unknown-parameter",
    "config.layerDecay.layers[1]: expected a match",
  ],
  [
    "a group that captures no number",
    { rate: 0.5, layers: [{ regex: "^(blocks|stem)" }] },
    "invalid-option",
    "config.layerDecay.layers[0].regex: expected a group that captures a number in blocks.0.attn.qkv.weight, got ",
  ],
  [
    "a regular expression that is none",
    { rate: 0.5, layers: [{ regex: "(" }] },
    "invalid-option",
    "config.layerDecay.layers[0].regex: expected a JavaScript regular expression",
  ],
  [
    "a kind that nobody tells",
    { rate: 0.5, layers: [{ kind: "embedding" }] },
    "unsupported",
    "config.layerDecay.layers[0]: expected a model that tells what is embedding",
  ],
  [
    "no layers",
    { rate: 0.5, layers: [] },
    "invalid-option",
    "config.layerDecay.layers: expected an array of at least 1",
  ],
  [
    "a rate of 0",
    { rate: 0, layers },
    "invalid-option",
    "config.layerDecay.rate: expected a finite number above 0",
  ],
])("layerDecay refuses %s", (_, layerDecay, code, message) => {
  const error = thrownBy(() => buildOptimWrapper(vit, { optimizer: { type: "sgd" }, layerDecay }, parts));
  expect([error.code, error.message.slice(0, message.length)]).toEqual([code, message]);
});
