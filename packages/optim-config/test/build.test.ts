import {
  buildOptimWrapper,
  type ModelKind,
  type EntryPoint,
  parseOptimWrapperConfig,
  parseOptimWrapperDictConfig,
} from "@mm/optim-config";
import { createOptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import * as everyRule from "@mm/optim-rules";
import { adam, type AdamHyperparameters, adamw, lookahead, sgd } from "@mm/optim-rules";
import { wasmOptimizer, type WasmLoss } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: wasmOptimizer, rules: { adamw, sgd } };
const arrays = (): { readonly w: Float32Array; readonly b: Float32Array } => ({
  w: Float32Array.of(1, 2),
  b: Float32Array.of(3),
});

describe("slots in bfloat16", () => {
  const config = { optimizer: { type: "adamw" }, slotDtype: { expAvg: "bfloat16" } } as const;

  test("are handed to the entry point", async () => {
    const wrapper = buildOptimWrapper(arrays(), config, parts);
    wrapper.updateParams(({ grad }) => grad("w").fill(1 + 2 ** -20).length);
    const { expAvg, expAvgSq } = await wrapper.optimizer.readSlots(["expAvg", "expAvgSq"]);
    // 0.1 = 1.6 · 2⁻⁴ and 1.6 · 128 = 204.8, to the nearest: 205.
    expect(expAvg["w"]?.[0]).toBe(205 * 2 ** -11);
    expect(expAvgSq["w"]?.[0]).toBe(Math.fround(Math.fround(0.001) * Math.fround((1 + 2 ** -20) ** 2)));
  });

  test("are refused by name, and where an entry point does not hand them on", () => {
    const refused = (slotDtype: unknown, optimizer: typeof wasmOptimizer = wasmOptimizer) =>
      thrownBy(() =>
        buildOptimWrapper(arrays(), { ...config, slotDtype } as typeof config, { ...parts, optimizer }),
      );
    expect(refused("float16").message).toMatch(/config\.slotDtype/);
    expect(refused({ momentumBuffer: "bfloat16" }).code).toBe("unknown-name");
    const forgetting = ((rule: UpdateRule, groups: never) =>
      wasmOptimizer(rule, groups)) as typeof wasmOptimizer;
    expect(refused("bfloat16", forgetting)).toMatchObject({
      code: "invalid-option",
      message: expect.stringMatching(/^config: slotDtype: expected an entry point/) as string,
    });
  });
});

describe("a wrapper from a configuration", () => {
  test("trains as one from code, to the bit", () => {
    const [ours, theirs] = [arrays(), arrays()];
    const built = buildOptimWrapper(
      ours,
      {
        optimizer: { type: "adamw", lr: 0.1, betas: [0.5, 0.9] },
        accumulativeCounts: 2,
        clipGrad: { maxNorm: 1, normType: "inf" },
        lossScale: { initScale: 8 },
        gradNorm: true,
      },
      parts,
    );
    const written = createOptimWrapper(wasmOptimizer(adamw({ lr: 0.1, betas: [0.5, 0.9] }), theirs), {
      accumulativeCounts: 2,
      clipGrad: { maxNorm: 1, normType: Number.POSITIVE_INFINITY },
      lossScale: { initScale: 8 },
      gradNorm: true,
    });
    for (const optim of [built, written]) {
      for (let step = 1; step <= 6; step += 1) {
        optim.updateParams(({ grad, scale }) => {
          grad("w").set([scale * step, -scale]);
          return 0;
        });
      }
    }
    expect(ours).toEqual(theirs);
    expect(ours.w[0]).not.toBe(1);
    expect(ours.b[0]).toBe(3);
    built.dispose();
    written.dispose();
  });

  test.each([
    { type: "adaptive", clipFactor: 0.1, eps: 0.01 },
    { maxNorm: 0.5, per: "tensor", normType: "inf" },
  ] as const)("clips by %j", (clipGrad) => {
    const trained = arrays();
    const optim = buildOptimWrapper(trained, { optimizer: { type: "sgd", lr: 1 }, clipGrad }, parts);
    optim.updateParams(({ grad }) => {
      grad("w").set([3, 4]);
      return 0;
    });
    const size = clipGrad.type === "adaptive" ? (0.1 * Math.sqrt(5)) / 5 : 0.5 / 4;
    expect(trained.w[0]).toBeCloseTo(1 - 3 * size, 5);
    optim.dispose();
  });

  test("neither changes its configuration nor keeps it", () => {
    const config = {
      optimizer: { type: "sgd" as const, lr: 0.5 },
      paramwise: { customKeys: { b: { lrMult: 2 } } },
      clipGrad: { maxNorm: 1 },
    };
    const before = structuredClone(config);
    const optim = buildOptimWrapper(arrays(), config, parts);
    expect(config).toEqual(before);
    config.optimizer.lr = 9;
    expect(optim.getLr()).toEqual({ baseLr: [0.5], lr: [0.5, 1] });
    optim.dispose();
  });

  test("may use any function that makes a rule", () => {
    const slow = (chosen?: Partial<AdamHyperparameters>) => lookahead(adam(chosen), { syncPeriod: 2 });
    const optim = buildOptimWrapper(
      arrays(),
      { optimizer: { type: "slow", lr: 0.1 } },
      { ...parts, rules: { slow } },
    );
    expect(optim.optimizer.rule).toBe("Lookahead(Adam)");
    optim.dispose();
  });
});

describe("the learning rate is scaled by the effective batch", () => {
  // 32 samples a backward, 4 backwards a step, written for 64 samples a step: 32 × 4 ÷ 64 = 2.
  const scaled = { accumulativeCounts: 4, scaleLr: { baseBatchSize: 64, batchSize: 32 } };

  test("of a single group", () => {
    const optim = buildOptimWrapper(arrays(), { optimizer: { type: "sgd", lr: 0.1 }, ...scaled }, parts);
    expect(optim.getLr()).toEqual({ lr: [0.2] });
    expect(optim.defaults.lr).toBe(0.2);
    optim.dispose();
  });

  test("of all groups, those with a rate of their own too, and of the base", () => {
    const config = {
      optimizer: { type: "sgd", lr: 0.1 },
      paramwise: { customKeys: { w: { lrMult: 0.5 }, b: { lr: 3 } } },
      ...scaled,
    } as const;
    const optim = buildOptimWrapper(arrays(), config, parts);
    expect(optim.getLr()).toEqual({ baseLr: [0.2], lr: [0.1, 6] });
    optim.dispose();
  });

  test("which may be the rule's default", () => {
    const optim = buildOptimWrapper(arrays(), { optimizer: { type: "sgd" }, ...scaled }, parts);
    expect(optim.getLr()).toEqual({ lr: [0.002] });
    optim.dispose();
  });
});

interface Net {
  readonly net: readonly Float32Array[];
}

/** A kind of model that nobody knows but its author. */
const netKind: ModelKind<Net, Float32Array> = {
  name: "Net",
  kinds: ["norm"],
  accepts: (model) => Array.isArray((model as Partial<Net>).net),
  parameters: ({ net }) =>
    net.map((value, index) => ({
      name: `net.${index}`,
      value,
      kinds: index === 0 ? ["norm"] : [],
      frozen: index === 2,
    })),
};

describe("a kind of model that is handed in", () => {
  const net = { net: [1, 2, 3].map((value) => Float32Array.of(value)) };
  const more = { ...parts, models: [netKind] };

  test("tells parameters, kinds and what is frozen", () => {
    const config = {
      optimizer: { type: "adamw", lr: 0.5, weightDecay: 0.5 },
      paramwise: { normDecayMult: 0 },
    } as const;
    const optim = buildOptimWrapper(net, config, more);
    expect(optim.paramGroups.map(({ params, weightDecay }) => [params[0], weightDecay])).toEqual([
      ["net.0", 0],
      ["net.1", 0.5],
      ["net.2", 0.5],
    ]);
    expect(optim.optimizer.frozen).toEqual(["net.2"]);
    optim.dispose();
  });

  test("refuses options of kinds that it does not tell", () => {
    const config = { optimizer: { type: "sgd", lr: 1 }, paramwise: { biasLrMult: 2 } } as const;
    const { code, message } = thrownBy(() => buildOptimWrapper(net, config, more));
    expect(code).toBe("unsupported");
    expect(message).toMatch(
      /^config\.paramwise\.biasLrMult: expected a model that tells what is bias, got \["norm"\]/,
    );
  });

  test("that says no name, or one twice, is refused", () => {
    const named = (...names: string[]): ModelKind<Net, Float32Array> => ({
      ...netKind,
      parameters: ({ net }) => names.map((name, i) => ({ name, value: net[i] as Float32Array, kinds: [] })),
    });
    const build = (kind: ModelKind<Net, Float32Array>): unknown =>
      buildOptimWrapper(net, { optimizer: { type: "sgd" } }, { ...parts, models: [kind] });
    expect(thrownBy(() => build(named("a", ""))).code).toBe("invalid-name");
    expect(thrownBy(() => build(named("a", "a"))).code).toBe("duplicate-parameter");
    expect(thrownBy(() => build(named())).code).toBe("empty-parameters");
  });
});

describe("what is refused", () => {
  const build = (model: unknown, config: unknown, with_: unknown = parts): string => {
    const { code, message } = thrownBy(() =>
      buildOptimWrapper(model as never, config as never, with_ as never),
    );
    return `${code}: ${message}`;
  };
  const config = { optimizer: { type: "sgd", lr: 0.1 } };

  test("models that no kind accepts", () => {
    for (const model of [undefined, 3, [], new Map(), new Date()]) {
      expect(build(model, config)).toMatch(
        /^invalid-parameter: buildOptimWrapper: model: expected LayersModel, or named parameters, got/,
      );
    }
    expect(build({}, config)).toMatch(/^empty-parameters/);
  });

  test("parts that are missing or wrong", () => {
    expect(build(arrays(), config, null)).toMatch(
      /^invalid-option: buildOptimWrapper: optimizer: expected the entry/,
    );
    expect(build(arrays(), config, { ...parts, rules: {} })).toMatch(
      /^invalid-option: buildOptimWrapper: rules/,
    );
    expect(build(arrays(), config, { ...parts, rules: { sgd: sgd() } })).toMatch(
      /^invalid-rule: buildOptimWrapper: rules\.sgd: expected a function/,
    );
    expect(build(arrays(), config, { ...parts, schedules: { cosine: 3 } })).toMatch(
      /^invalid-option: buildOptimWrapper: schedules\.cosine: expected a function/,
    );
  });

  test("values that do not go together", () => {
    const both = { ...config, lossScale: "dynamic", onNonFinite: "skip" };
    expect(build(arrays(), both)).toMatch(
      /^invalid-option: config\.onNonFinite: expected "propagate" or nothing/,
    );
    const floor = { ...config, lossScale: { initScale: 1, minScale: 2 } };
    expect(build(arrays(), floor)).toMatch(/^invalid-option: config\.lossScale\.minScale: expected/);
    const nesterov = { optimizer: { type: "sgd", nesterov: true } };
    expect(build(arrays(), nesterov)).toMatch(
      /^invalid-hyperparameter: config\.optimizer: expected a momentum/,
    );
  });

  test("schedules without a registry", () => {
    expect(build(arrays(), { ...config, schedules: { lr: { type: "cosine", length: 3 } } })).toMatch(
      /^invalid-option: config\.schedules: expected a registry/,
    );
  });

  test("what the optimizer refuses of the parameters, with the path of the wrapper", () => {
    expect(build({ w: [1, 2] }, config)).toMatch(/^invalid-parameter: config: wasmOptimizer/);
  });

  test("what the backend cannot do: the optimizer that was made is disposed", () => {
    let disposed = 0;
    const optimizer: EntryPoint<Float32Array, WasmLoss, number> = (rule, groups) => {
      const made = wasmOptimizer(rule, groups);
      made.createLossScaler = () => refuse("unsupported", "createLossScaler", "no loss scale", "dynamic");
      made.dispose = () => void (disposed += 1);
      return made;
    };
    expect(build(arrays(), { ...config, lossScale: "dynamic" }, { ...parts, optimizer })).toBe(
      'unsupported: config: createLossScaler: expected no loss scale, got "dynamic"',
    );
    expect(disposed).toBe(1);
  });
});

describe("a module of rules is a registry", () => {
  test("what makes no rule from hyperparameters is passed over", () => {
    const optim = buildOptimWrapper(
      { w: new Float32Array(1) },
      { optimizer: { type: "adamw", lr: 0.5 } },
      { optimizer: wasmOptimizer, rules: everyRule },
    );
    expect([optim.optimizer.rule, optim.paramGroups[0].lr]).toEqual(["AdamW", 0.5]);
    optim.dispose();
    const json = { optimizer: { type: "adamx" } };
    const { message } = thrownBy(() => parseOptimWrapperConfig(json, { rules: everyRule }));
    expect(message).toMatch(/"adamw" or /);
    expect(message).not.toMatch(/lookahead|swa/);
  });

  test("one of its functions that makes no rule is refused as such when it is asked for, with the reason", () => {
    const json = { optimizer: { type: "lookahead" } };
    const { code, message, cause } = thrownBy(() => parseOptimWrapperConfig(json, { rules: everyRule }));
    expect(code).toBe("invalid-rule");
    expect(message).toMatch(
      /^config\.optimizer\.type: expected a function of the registry that makes a rule/,
    );
    expect(String(cause)).toContain("lookahead");
    const dict = { wrappers: { a: json } };
    expect(thrownBy(() => parseOptimWrapperDictConfig(dict, { rules: everyRule })).message).toMatch(
      /^config\.wrappers\.a\.optimizer\.type: /,
    );
  });

  test("a registry without any rule is none", () => {
    const none = { lookahead: everyRule.lookahead };
    const parse = () => parseOptimWrapperConfig({ optimizer: { type: "lookahead" } }, { rules: none });
    expect(thrownBy(parse)).toMatchObject({
      code: "invalid-option",
      expected: "rules by name: { adamw, sgd }",
    });
  });
});
