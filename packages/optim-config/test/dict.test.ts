import {
  buildOptimWrapperDict,
  joinModels,
  type EntryPoint,
  parseOptimWrapperDictConfig,
} from "@mm/optim-config";
import { adamw, sgd } from "@mm/optim-rules";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const rules = { adamw, sgd };
const parts = { optimizer: wasmOptimizer, rules };
const model = (): { readonly [name: string]: Float32Array } =>
  Object.fromEntries(
    ["actor.w", "actor.b", "critic.w", "temperature"].map((name) => [name, Float32Array.of(1, 1)]),
  );

describe("a dict from a configuration", () => {
  test("shares out one model by patterns; each wrapper has its own rule and options", () => {
    const parameters = model();
    const optim = buildOptimWrapperDict(
      parameters,
      {
        wrappers: {
          policy: { params: ["actor.*", "temperature"], optimizer: { type: "sgd", lr: 0.25 } },
          value: { params: { prefix: "critic" }, optimizer: { type: "adamw" }, accumulativeCounts: 2 },
        },
      },
      parts,
    );
    expect([...optim.keys()]).toEqual(["policy", "value"]);
    expect(optim.get("policy").paramGroups[0].params).toEqual(["actor.w", "actor.b", "temperature"]);
    expect(optim.get("value").accumulativeCounts).toBe(2);
    optim.get("policy").updateParams(({ grad }) => {
      grad("actor.b").set([1, 2]);
      return 0;
    });
    // 1 − 0.25 × 1 and 1 − 0.25 × 2
    expect(parameters["actor.b"]).toEqual(Float32Array.of(0.75, 0.5));
    optim.dispose();
  });

  test("joins models of their own: a wrapper without a pattern takes what is below its name, and drops the name", async () => {
    const [generator, discriminator] = [
      { w: Float32Array.of(1) },
      { w: Float32Array.of(1), b: Float32Array.of(1) },
    ];
    const optim = buildOptimWrapperDict(
      joinModels({ generator, discriminator }),
      {
        wrappers: {
          generator: { optimizer: { type: "sgd", lr: 0.5 } },
          discriminator: { optimizer: { type: "adamw" } },
        },
      },
      parts,
    );
    const { wrappers } = await optim.stateDict();
    expect(wrappers.generator.optimizer.params.map(({ name }) => name)).toEqual(["w"]);
    expect(wrappers.discriminator.optimizer.params.map(({ name }) => name)).toEqual(["w", "b"]);
    optim.dispose();
  });

  test("may leave parameters out, by pattern", () => {
    const optim = buildOptimWrapperDict(
      model(),
      { wrappers: { actor: { optimizer: { type: "sgd" } } }, unused: ["critic.*", "temperature"] },
      parts,
    );
    expect(optim.get("actor").paramGroups[0].params).toEqual(["w", "b"]);
    optim.dispose();
  });

  test("may come from JSON", () => {
    const json: unknown = JSON.parse(
      '{ "wrappers": { "all": { "params": "**", "optimizer": { "type": "adamw", "lr": 0.5 } } } }',
    );
    const optim = buildOptimWrapperDict(model(), parseOptimWrapperDictConfig(json, { rules }), parts);
    expect(optim.getLr()).toEqual({ "all.lr": [0.5] });
    optim.dispose();
  });
});

describe("what is refused of a dict", () => {
  const refused = (config: object, from: object = parts): string => {
    const { code, message } = thrownBy(() => buildOptimWrapperDict(model(), config as never, from as never));
    return `${code}: ${message}`;
  };
  const plain = { optimizer: { type: "sgd" } };

  test("parameters that no wrapper takes, or two, all in one error", () => {
    const wrappers = { actor: plain, weights: { ...plain, params: "*.w" } };
    expect(refused({ wrappers })).toBe(
      "invalid-option: config.wrappers: expected each parameter in one wrapper, or in unused, got " +
        '["actor.w: actor and weights", "temperature: none"]. Change the wrappers\' params',
    );
    expect(refused({ wrappers: { actor: plain }, unused: "**" })).toContain('"actor.w: actor and unused"');
  });

  test("a wrapper that takes nothing", () => {
    const wrappers = { all: { ...plain, params: "**" }, crtic: plain };
    expect(refused({ wrappers })).toBe(
      'empty-parameters: config.wrappers.crtic.params: expected at least one parameter, got "prefix crtic". ' +
        "There are actor.w, actor.b, critic.w, temperature",
    );
  });

  test("two parameters that have one name without that of the wrapper", () => {
    const twice = { "actor.w": new Float32Array(1), "actor/w": new Float32Array(1) };
    const { code, message } = thrownBy(() =>
      buildOptimWrapperDict(twice, { wrappers: { actor: { optimizer: { type: "sgd" } } } }, parts),
    );
    expect([code, message]).toEqual([
      "duplicate-parameter",
      'config.wrappers.actor: expected each name once, got "w"',
    ]);
  });

  test("options of any wrapper, with the path, before anything is made", () => {
    let made = 0;
    const optimizer: EntryPoint<Float32Array, WasmLoss, number> = (rule, groups) => {
      made += 1;
      return wasmOptimizer(rule, groups);
    };
    const wrappers = {
      actor: { ...plain, params: ["actor.*", "temperature"] },
      critic: { optimizer: { type: "sgd" }, paramwise: [{ match: "x", lrMult: 2 }] },
    };
    expect(refused({ wrappers }, { optimizer, rules })).toMatch(
      /^unknown-parameter: config\.wrappers\.critic\.paramwise\[0\]\.match/,
    );
    expect(made).toBe(0);
  });

  test("what an optimizer refuses: those that were made are disposed", () => {
    const disposed: string[] = [];
    const optimizer: EntryPoint<Float32Array, WasmLoss, number> = (rule, groups) => {
      const one = wasmOptimizer(rule, groups);
      const dispose = one.dispose.bind(one);
      one.dispose = () => {
        disposed.push(groups.flatMap(({ params }) => Object.keys(params)).join());
        dispose();
      };
      return one;
    };
    const wrong = { ...model(), "critic.w": [1, 2] as unknown as Float32Array };
    const wrappers = {
      actor: { ...plain, params: ["actor.*", "temperature"] },
      critic: plain,
    } as const;
    const { code, message } = thrownBy(() =>
      buildOptimWrapperDict(wrong, { wrappers: wrappers as never }, { optimizer, rules }),
    );
    expect(code).toBe("invalid-parameter");
    expect(message).toMatch(/^config\.wrappers\.critic: wasmOptimizer/);
    expect(disposed).toEqual(["actor.w,actor.b,temperature"]);
  });
});
