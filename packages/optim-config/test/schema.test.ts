import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { format } from "prettier";
import {
  buildOptimWrapper,
  buildOptimWrapperDict,
  type JsonSchema,
  optimWrapperDictSchema,
  optimWrapperSchema,
  parseOptimWrapperConfig,
} from "@mm/optim-config";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { allRules, registries } from "./registries.ts";
import { everythingWrong, expanded, sample } from "./wrong.ts";

const parts = { optimizer: wasmOptimizer, ...registries };
const model = (): { readonly [name: string]: Float32Array } => ({
  "abc.weight": new Float32Array(4),
  "abc.bias": new Float32Array(2),
});

const published = [
  {
    file: "optim-wrapper.json",
    schema: optimWrapperSchema(registries),
    build: (config: unknown) => buildOptimWrapper(model(), config as never, parts),
  },
  {
    file: "optim-wrapper-dict.json",
    schema: optimWrapperDictSchema(registries),
    build: (config: unknown) => buildOptimWrapperDict(model(), config as never, parts),
  },
];

describe.each(published)("$file", ({ file, schema, build }) => {
  // A validator that is not ours, and knows JSON Schema as it is written.
  const validate = new Ajv({ strict: true, allErrors: false }).compile(schema);
  const whole = expanded(schema);
  const wrongs = [...everythingWrong(whole, "config")];

  test("is published as it is made (vitest -u writes it)", async () => {
    const text = await format(JSON.stringify(schema), { parser: "json", printWidth: 110 });
    await expect(text).toMatchFileSnapshot(`../schema/${file}`);
    expect(JSON.parse(readFileSync(new URL(`../schema/${file}`, import.meta.url), "utf8"))).toEqual(schema);
  });

  test("accepts a sample", () => {
    expect(validate(sample(whole))).toBe(true);
  });

  test("has fields to break", () => {
    // Fewer would mean that the walk lost its way.
    expect(wrongs.length).toBeGreaterThan(700);
  });

  test("refuses what is wrong in any field, by the judgement of Ajv", () => {
    expect(wrongs.filter(({ value }) => validate(value))).toEqual([]);
  });

  test("what is wrong in any field is refused at construction, with its path", () => {
    const unnoticed = wrongs.flatMap((wrong) => {
      const { code, message } = thrownBy(() => build(wrong.value));
      const right = ["invalid-option", "unknown-option", "invalid-hyperparameter"].includes(code);
      return right && names(message, wrong.path)
        ? []
        : [{ ...wrong, value: JSON.stringify(wrong.value), message }];
    });
    expect(unnoticed).toEqual([]);
  });
});

/** Whether a message begins with a path, or with one within. */
const names = (message: string, path: string): boolean =>
  message.startsWith(path) && !/^\w/.test(message.slice(path.length));

describe("a configuration that means nothing", () => {
  test.each([undefined, null, 3, "adamw", [], () => ({}), new Map()])("%s", (config) => {
    expect(thrownBy(() => buildOptimWrapper(model(), config as never, parts)).message).toMatch(/^config/);
    expect(thrownBy(() => buildOptimWrapperDict(model(), config as never, parts)).message).toMatch(/^config/);
  });

  test("numbers that JSON cannot hold", () => {
    const { message } = thrownBy(() =>
      buildOptimWrapper(model(), { optimizer: { type: "sgd", lr: Number.NaN } }, parts),
    );
    expect(message).toBe("config.optimizer.lr: expected a finite number, got NaN");
  });
});

test("a value that is undefined is absent, wherever it is", () => {
  const config = {
    optimizer: { type: "sgd", lr: 0.5, momentum: undefined },
    clipGrad: undefined,
    schedules: { lr: undefined },
    paramwise: { biasLrMult: undefined, customKeys: { weight: { lrMult: 2, lr: undefined } } },
  };
  const optim = buildOptimWrapper(model(), config as never, parts);
  expect(optim.getLr()).toEqual({ baseLr: [0.5], lr: [1, 0.5] });
  optim.dispose();
  const plain = buildOptimWrapper(
    model(),
    { ...config, paramwise: { biasLrMult: undefined } } as never,
    parts,
  );
  expect(plain.getLr()).toEqual({ lr: [0.5] });
  plain.dispose();
});

test("the schema of one's own registries has these rules and no others", () => {
  const slow: typeof allRules.sgd = (chosen) => allRules.sgd({ lr: 1e-5, ...chosen });
  const schema = optimWrapperSchema({ rules: { slow }, schedules: { mine: registries.schedules.linear } });
  const validate = new Ajv({ strict: true }).compile(schema);
  const accepts = (config: unknown): boolean => validate(config);
  expect(accepts({ optimizer: { type: "slow", momentum: 0.9 } })).toBe(true);
  expect(accepts({ optimizer: { type: "sgd" } })).toBe(false);
  // Of a schedule of one's own only the factory knows the options.
  expect(accepts({ optimizer: { type: "slow" }, schedules: { lr: { type: "mine", what: 3 } } })).toBe(true);
  expect(accepts({ optimizer: { type: "slow" }, schedules: { lr: { type: "linear", length: 3 } } })).toBe(
    false,
  );
});

test("what was parsed is what came, typed", () => {
  const json: unknown = JSON.parse('{ "optimizer": { "type": "adam", "lr": 2e-4 } }');
  expect(parseOptimWrapperConfig(json, registries)).toBe(json);
  const { code, message } = thrownBy(() =>
    parseOptimWrapperConfig({ optimizer: { type: "adam", lr: -1 } }, registries),
  );
  expect([code, message]).toEqual([
    "invalid-hyperparameter",
    'config.optimizer: expected lr of at least 0, got "lr: -1"',
  ]);
});

test("the schema is plain data", () => {
  const schema: JsonSchema = optimWrapperSchema(registries);
  expect(JSON.parse(JSON.stringify(schema))).toEqual(schema);
});
