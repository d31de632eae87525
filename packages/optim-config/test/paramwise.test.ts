import {
  buildOptimWrapper,
  explain,
  formatExplanation,
  type ModelKind,
  type ParamRule,
} from "@mm/optim-config";
import { adamw, rprop, sgd, type SgdHyperparameters } from "@mm/optim-rules";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: wasmOptimizer, rules: { adamw, sgd } };
const names = ["backbone.fc.weight", "backbone.fc.bias", "head.fc.weight", "head.fc.bias"];
const model = (): { readonly [name: string]: Float32Array } =>
  Object.fromEntries(names.map((name) => [name, new Float32Array(2)]));

function build(paramwise: readonly ParamRule<SgdHyperparameters>[]) {
  return buildOptimWrapper(
    model(),
    { optimizer: { type: "sgd", lr: 0.5, weightDecay: 0.25 }, paramwise },
    parts,
  );
}

/** Learning rate and decay by parameter. */
function values(paramwise: readonly ParamRule<SgdHyperparameters>[]): readonly (readonly number[])[] {
  const optim = build(paramwise);
  const rows = explain(optim).map(({ lr, weightDecay }) => [lr, weightDecay as number]);
  optim.dispose();
  return rows;
}

describe("a list of rules", () => {
  test("is followed in whole: factors multiply", () => {
    // MMEngine's custom key would drop the second rule for the backbone.
    expect(
      values([
        { match: { prefix: "backbone" }, lrMult: 0.5 },
        { match: { kind: "bias" }, lrMult: 2, decayMult: 0 },
      ]),
    ).toEqual([
      [0.25, 0.25],
      [0.5, 0], // 0.5 × 0.5 × 2
      [0.5, 0.25],
      [1, 0],
    ]);
  });

  test("sets hyperparameters, the last one counting, and factors multiply them too, whatever the order", () => {
    const rules: readonly ParamRule<SgdHyperparameters>[] = [
      { match: "head.**", lrMult: 0.5 },
      { match: "**", lr: 4, momentum: 0.5 },
      { match: "**.bias", lr: 8 },
    ];
    const expected = [
      [4, 0.25],
      [8, 0.25],
      [2, 0.25],
      [4, 0.25],
    ];
    expect(values(rules)).toEqual(expected);
    expect(values([rules[1], rules[0], rules[2]] as typeof rules)).toEqual(expected);
    const optim = build(rules);
    expect(optim.paramGroups.map(({ momentum }) => momentum)).toEqual([0.5, 0.5, 0.5, 0.5]);
    optim.dispose();
  });

  test("multiplies the rule's own defaults as well", () => {
    const optim = buildOptimWrapper(
      model(),
      { optimizer: { type: "adamw" }, paramwise: [{ match: { prefix: "head" }, lrMult: 10, decayMult: 2 }] },
      parts,
    );
    expect(optim.paramGroups.map(({ lr, weightDecay }) => [lr, weightDecay])).toEqual([
      [1e-3, 1e-2],
      [1e-2, 2e-2],
    ]);
    optim.dispose();
  });

  test("groups the parameters that the same rules match, and names the groups after them", () => {
    const optim = build([
      { match: { prefix: "head" }, name: "head", lrMult: 10 },
      { match: { kind: "bias" }, decayMult: 0 },
    ]);
    expect(optim.paramGroups.map(({ name, params }) => [name, ...params])).toEqual([
      ["others", "backbone.fc.weight"],
      ["bias", "backbone.fc.bias"],
      ["head", "head.fc.weight"],
      ["head + bias", "head.fc.bias"],
    ]);
    optim.dispose();
  });

  test("freezes, and a later rule unfreezes", () => {
    const optim = build([
      { match: "**", frozen: true },
      { match: "head.**", frozen: false },
    ]);
    expect(optim.optimizer.frozen).toEqual(["backbone.fc.weight", "backbone.fc.bias"]);
    optim.unfreeze(["backbone.fc.bias"]);
    expect(optim.optimizer.frozen).toEqual(["backbone.fc.weight"]);
    optim.dispose();
  });

  test("that is empty leaves one group", () => {
    const optim = build([]);
    expect(optim.paramGroups.map(({ name, params }) => [name, ...params])).toEqual([["0", ...names]]);
    optim.dispose();
  });
});

describe("what is refused of a list", () => {
  const refused = (...rules: readonly object[]): string => {
    const { code, message } = thrownBy(() => build(rules as readonly ParamRule<SgdHyperparameters>[]));
    return `${code}: ${message}`;
  };

  test("a rule that asks for a name which nobody has", () => {
    expect(refused({ match: "**" }, { match: "heads.**", lrMult: 2 })).toBe(
      'unknown-parameter: config.paramwise[1].match: expected a match among the parameters, got "heads.**". ' +
        "There are backbone.fc.weight, backbone.fc.bias, head.fc.weight, head.fc.bias",
    );
    // Kinds may be asked for in vain: the next model has some.
    const optim = build([{ match: { kind: "flat" }, decayMult: 0 }]);
    expect(optim.paramGroups.length).toBe(1);
    optim.dispose();
  });

  test("kinds that plain parameters do not tell", () => {
    expect(refused({ match: { kind: "norm" }, decayMult: 0 })).toMatch(
      /^unsupported: config\.paramwise\[0\]\.match: expected a model that tells what is norm, got \["bias", "flat"\]/,
    );
  });

  test("hyperparameters that the rule does not have, or refuses", () => {
    expect(refused({ match: "**", betas: [0.9, 0.99] })).toMatch(
      /^unknown-option: config\.paramwise\[0\]: expected one of lr/,
    );
    expect(refused({ match: "**", momentum: true })).toMatch(
      /^invalid-hyperparameter: config\.paramwise\[0\]\.momentum: expected a finite number, got true/,
    );
    expect(refused({ match: "**", momentum: -1 })).toMatch(
      /^invalid-hyperparameter: config\.paramwise\[0\]: expected/,
    );
    // Each is right by itself; together they are not.
    expect(
      refused(
        { match: "**", momentum: 0.9, nesterov: true },
        { match: "head.**", name: "plain", momentum: 0 },
      ),
    ).toMatch(/^invalid-hyperparameter: config\.paramwise: \*\* \+ plain: expected a momentum above 0/);
  });

  test("names that do not tell groups apart", () => {
    expect(
      refused({ match: "head.**", name: "a", lrMult: 2 }, { match: "backbone.**", name: "a", lrMult: 3 }),
    ).toMatch(
      /^invalid-option: config\.paramwise: expected rules whose names make different names of groups, got "a"/,
    );
  });

  test("a factor of a decay that the rule does not have", () => {
    const config = { optimizer: { type: "rprop" }, paramwise: [{ match: "**", decayMult: 0 }] } as const;
    const { code, message } = thrownBy(() =>
      buildOptimWrapper(model(), config, { ...parts, rules: { rprop } }),
    );
    expect(code).toBe("unknown-option");
    expect(message).toBe('config.paramwise[0].decayMult: expected a rule with weightDecay, got "Rprop"');
  });
});

// Its results are compared with MMEngine's own in the recorded trajectories of @mm/optim-recordings.
describe("MMEngine's options", () => {
  test("are of one group per parameter, named after it, and say which key was followed", () => {
    const config = {
      optimizer: { type: "sgd", lr: 0.5, weightDecay: 0.25 },
      paramwise: { biasLrMult: 2, customKeys: { "head.fc": { lrMult: 0.5 }, head: { lrMult: 9 } } },
    } as const;
    const optim = buildOptimWrapper(model(), config, parts);
    expect(explain(optim).map(({ group, lr, why }) => [group, lr, why])).toEqual([
      ["backbone.fc.weight", 0.5, []],
      ["backbone.fc.bias", 1, ["biasLrMult"]],
      // The longer key wins, and switches biasLrMult off.
      ["head.fc.weight", 0.25, ['customKeys["head.fc"]']],
      ["head.fc.bias", 0.25, ['customKeys["head.fc"]']],
    ]);
    optim.dispose();
  });

  test("know the offsets of deformable convolutions, where a model tells them", () => {
    const deformable: ModelKind<readonly Float32Array[], Float32Array> = {
      name: "deformable",
      kinds: ["bias", "offset", "flat"],
      accepts: Array.isArray,
      parameters: ([weight, offset, bias]) => [
        { name: "weight", value: weight as Float32Array, kinds: [] },
        { name: "conv_offset.weight", value: offset as Float32Array, kinds: ["offset"] },
        { name: "conv_offset.bias", value: bias as Float32Array, kinds: ["offset", "bias", "flat"] },
      ],
    };
    const config = {
      optimizer: { type: "sgd", lr: 1, weightDecay: 1 },
      paramwise: { dcnOffsetLrMult: 0.5, biasLrMult: 2, biasDecayMult: 0, flatDecayMult: 0 },
    } as const;
    const values = [1, 2, 3].map((value) => Float32Array.of(value));
    const optim = buildOptimWrapper(values, config, { ...parts, models: [deformable] });
    // Neither bias nor flat options are for offsets.
    expect(explain(optim).map(({ lr, weightDecay }) => [lr, weightDecay])).toEqual([
      [1, 1],
      [0.5, 1],
      [0.5, 1],
    ]);
    optim.dispose();
  });

  test.each([
    [
      { optimizer: { type: "sgd" }, paramwise: { biasLrMult: 2 } },
      "config.optimizer.lr: expected a number, which config.paramwise.biasLrMult multiplies, got undefined",
    ],
    [
      { optimizer: { type: "sgd", lr: 1 }, paramwise: { flatDecayMult: 2 } },
      "config.optimizer.weightDecay: expected a number, which config.paramwise.flatDecayMult multiplies, got undefined",
    ],
    [
      { optimizer: { type: "sgd" }, paramwise: { customKeys: { "a.b": {} } } },
      'config.optimizer.lr: expected a number, which config.paramwise.customKeys["a.b"] multiplies, got undefined',
    ],
    [
      { optimizer: { type: "sgd", lr: 1 }, paramwise: { customKeys: { head: { decayMult: 2 } } } },
      "config.optimizer.weightDecay: expected a number, which config.paramwise.customKeys.head.decayMult multiplies, got undefined",
    ],
    [
      { optimizer: { type: "sgd", lr: 1 }, paramwise: { customKeys: { head: { betas: [0, 0] } } } },
      'config.paramwise.customKeys.head: expected one of lr, momentum, dampening, weightDecay, nesterov, maximize, lrMult, decayMult, got "betas"',
    ],
  ])("%j is refused", (config, expected) => {
    const { message } = thrownBy(() => buildOptimWrapper(model(), config as never, parts));
    expect(message).toBe(expected);
  });
});

describe("a parameter under two names", () => {
  const shared = new Float32Array(2);
  const tied = { "encoder.embed": shared, "decoder.out.bias": shared, "decoder.fc": new Float32Array(2) };
  const row = (paramwise: object): unknown => {
    const config = { optimizer: { type: "sgd", lr: 1, weightDecay: 1 }, paramwise } as const;
    const optim = buildOptimWrapper(tied, config as never, parts);
    const [first, ...others] = explain(optim).map(({ lr, weightDecay, why }) => [lr, weightDecay, why]);
    optim.dispose();
    expect(others).toHaveLength(1);
    return first;
  };

  test.each<[string, object, unknown]>([
    ["its first name", [{ match: "encoder.*", lrMult: 0.5 }], [0.5, 1, ["encoder.*"]]],
    [
      "its second name",
      [{ match: { exact: "decoder.out.bias" }, lrMult: 0.5 }],
      [0.5, 1, ["exact decoder.out.bias"]],
    ],
    ["a prefix of the second", [{ match: { prefix: "decoder" }, lrMult: 0.5 }], [0.5, 1, ["prefix decoder"]]],
    [
      "both, each by a rule of its own",
      [
        { match: { prefix: "decoder" }, lrMult: 0.5 },
        { match: { prefix: "encoder" }, lrMult: 0.5 },
      ],
      [0.25, 1, ["prefix decoder", "prefix encoder"]],
    ],
    ["the kind of the second", [{ match: { kind: "bias" }, decayMult: 0 }], [1, 0, ["bias"]]],
    [
      "a custom key",
      { customKeys: { "out.": { lrMult: 0.5 } }, bypassDuplicate: true },
      [0.5, 1, ['customKeys["out."]']],
    ],
    [
      "the longest custom key of either",
      { customKeys: { encoder: { lrMult: 0.5 }, "decoder.out": { lrMult: 0.25 } }, bypassDuplicate: true },
      [0.25, 1, ['customKeys["decoder.out"]']],
    ],
    ["a factor by kind", { biasDecayMult: 0, bypassDuplicate: true }, [1, 0, ["biasDecayMult"]]],
  ])("matches by %s", (_, paramwise, expected) => expect(row(paramwise)).toEqual(expected));

  test("does not match where one matcher wants both names", () => {
    const { code } = thrownBy(() => row([{ match: { prefix: "encoder", contains: "bias" }, lrMult: 0.5 }]));
    expect(code).toBe("unknown-parameter");
  });
});

describe("options that no parameter follows", () => {
  const unusedOf = (paramwise: object): readonly string[] => {
    const config = { optimizer: { type: "sgd", lr: 1, weightDecay: 1 }, paramwise } as const;
    const optim = buildOptimWrapper(model(), config as never, parts);
    const { unused } = explain(optim);
    optim.dispose();
    return unused;
  };

  test("are reported: keys that match nothing, and keys that a longer one overrules everywhere", () => {
    const customKeys = { backbone: { lrMult: 0.1 }, "backbone.": {}, bakcbone: {}, head: {} };
    expect(unusedOf({ customKeys, biasLrMult: 2 })).toEqual([
      'config.paramwise.customKeys["backbone"]',
      'config.paramwise.customKeys["bakcbone"]',
      "config.paramwise.biasLrMult",
    ]);
    expect(unusedOf({ customKeys: { backbone: {} }, biasLrMult: 2 })).toEqual([]);
  });

  test("are reported: rules by kind alone, which the next model may have", () => {
    const rules = [{ match: "**" }, { match: { kind: "flat" }, decayMult: 0 }];
    expect(unusedOf(rules)).toEqual(["config.paramwise[1]"]);
  });

  test("stand below the table, and are no rows", () => {
    const config = {
      optimizer: { type: "sgd", lr: 1 },
      paramwise: { customKeys: { bakcbone: { lrMult: 0.1 } } },
    } as const;
    const optim = buildOptimWrapper(model(), config, parts);
    const rows = explain(optim);
    expect([rows.length, Object.keys(rows).length]).toEqual([4, 4]);
    expect(formatExplanation(rows).split("\n").slice(6)).toEqual([
      'no parameter follows config.paramwise.customKeys["bakcbone"]',
    ]);
    optim.dispose();
  });
});

test("an option that nobody knows is refused with all that are known", () => {
  const build = (paramwise: object) => () =>
    buildOptimWrapper(model(), { optimizer: { type: "sgd", lr: 1 }, paramwise }, parts);
  const known = Object.keys(sgd().hyperparameters).join(", ");
  expect(known).toContain("lr, momentum");
  expect(thrownBy(build([{ match: "**", lrMul: 0.1 }]))).toMatchObject({
    code: "unknown-option",
    message: `config.paramwise[0]: expected one of ${known}, match, name, frozen, rule, lrMult, decayMult, got "lrMul"`,
  });
  expect(thrownBy(build({ customKeys: { head: { lrMul: 0.1 } } })).message).toBe(
    `config.paramwise.customKeys.head: expected one of ${known}, lrMult, decayMult, got "lrMul"`,
  );
});
