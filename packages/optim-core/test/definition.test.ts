import { createOptimWrapper } from "@mm/optim-core";
import { defineUpdateRule, eq, mul, select, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";
import { arrayOptimizer, gradients } from "./backend.ts";

/** A definition as somebody without types might write it. */
type Written = Readonly<Record<string, unknown>>;

const fine: Written = {
  name: "Written",
  hyperparameters: { lr: 1 },
  update: ({ param }: Written) => ({ param }),
};

const define = (changes: Written): unknown => defineUpdateRule({ ...fine, ...changes } as never);

/** The message, without the code. */
const message = async (changes: Written): Promise<string> => {
  const error = await refusal(() => define(changes));
  expect(error.code).toBe("invalid-rule");
  return error.message;
};

describe("a malformed rule is refused when it is defined", () => {
  test("the definition that the others are variations of is fine", () => {
    expect(define({})).toBeTypeOf("function");
  });

  test.each(["params", "name", "rule", "shapes"])(
    "a hyperparameter called %s, which is another thing of a group",
    async (name) => {
      expect(await message({ hyperparameters: { lr: 1, [name]: 1 } })).toMatch(
        new RegExp(`^Written: hyperparameters: .*none of name, params, rule, shapes, got "?${name}`),
      );
    },
  );

  test.each(["", "a b", "weight?", "1st"])("a hyperparameter called %j", async (name) => {
    expect(await message({ hyperparameters: { lr: 1, [name]: 1 } })).toMatch(/an identifier/);
  });

  test.each<[string, unknown]>([
    ["none", undefined],
    ["an empty one", ""],
    ["a number", 1],
  ])("its name: %s", async (_, name) => {
    expect(await message({ name })).toMatch(/^defineUpdateRule: name: expected /);
  });

  test.each<[string, unknown]>([
    ["no hyperparameters", undefined],
    ["hyperparameters in a list", [1]],
    ["no lr, which schedulers and logs count on", { momentum: 0.9 }],
    ["an lr in words", { lr: "0.1" }],
    ["an lr that is NaN", { lr: Number.NaN }],
    ["an lr beyond float32", { lr: 1e39 }],
    ["an lr that is a tuple", { lr: [1, 2] }],
  ])("%s", async (_, hyperparameters) => {
    expect(await message({ hyperparameters })).toMatch(/^Written: hyperparameters/);
  });

  test.each<[string, unknown]>([
    ["nested", { beta1: 0.9 }],
    ["nested in a tuple", [[0.9], 0.9]],
    ["a function", () => 0.9],
    ["null", null],
    ["undefined", undefined],
    ["NaN", Number.NaN],
    ["NaN in a tuple", [0.9, Number.NaN]],
    ["infinite", Infinity],
  ])("a hyperparameter that is %s", async (_, betas) => {
    expect(await message({ hyperparameters: { lr: 1, betas } })).toMatch(
      /^Written: hyperparameters\.betas: expected a finite number, a boolean or an array of finite numbers, got /,
    );
  });

  test.each(["update", "check", "structure", "slots", "scalarSlots"])(
    "%s that is no function",
    async (name) => {
      expect(await message({ [name]: {} })).toMatch(new RegExp(`^Written: ${name}: expected a function`));
    },
  );

  test.each<[string, unknown]>([
    ["a string", "0"],
    ["null", null],
    ["undefined", undefined],
    ["NaN", Number.NaN],
    ["a tensor", new Float32Array(1)],
    ["a function that gives no number", () => undefined],
    ["a function that gives NaN", ({ lr }: { readonly lr: number }) => lr - Infinity + Infinity],
  ])("a slot that begins as %s", async (_, initial) => {
    expect(await message({ slots: () => ({ m: initial }) })).toMatch(/^Written: slots\.m: expected a number/);
  });

  test.each<[string, unknown]>([
    ["a function", () => 0],
    ["undefined", undefined],
    ["NaN", Number.NaN],
  ])("a scalar slot that begins as %s", async (_, initial) => {
    expect(await message({ scalarSlots: () => ({ t: initial }) })).toMatch(
      /^Written: scalarSlots\.t: expected a number/,
    );
  });

  test("a slot may begin as the parameter, under no other name, and a scalar slot may not", async () => {
    expect(define({ slots: () => ({ z: "param" }) })).toBeTypeOf("function");
    expect(await message({ slots: () => ({ z: "parameter" }) })).toMatch(
      /^Written: slots\.z: expected a number to begin with, or "param"/,
    );
    expect(await message({ scalarSlots: () => ({ t: "param" }) })).toMatch(
      /^Written: scalarSlots\.t: expected a number to begin with/,
    );
  });

  test("an evaluation point that is no function", async () => {
    expect(await message({ evaluate: 1 })).toMatch(/^Written: evaluate: expected a function/);
  });

  test("an initial value may be infinite: a running maximum begins at −∞", () => {
    expect(define({ slots: () => ({ largest: -Infinity }) })).toBeTypeOf("function");
  });

  test.each(["param", "grad", "step", "master", "trained"])(
    "a slot or a scalar slot called %s",
    async (name) => {
      expect(await message({ slots: () => ({ [name]: 0 }) })).toMatch(`Written: slots.${name}`);
      expect(await message({ scalarSlots: () => ({ [name]: 0 }) })).toMatch(`Written: scalarSlots.${name}`);
    },
  );

  test("one name as slot and scalar slot", async () => {
    const both = { slots: () => ({ v: 0 }), scalarSlots: () => ({ v: 0 }) };
    expect(await message(both)).toMatch(/^Written: scalarSlots\.v: expected a name that no slot has/);
  });

  test("in a structure that its defaults do not lead to, too", async () => {
    const hyperparameters = { lr: 1, momentum: 0, amsgrad: false };
    const structure = ({ momentum }: { readonly momentum: number }) => ({ remembers: momentum !== 0 });
    const slots = ({ remembers, amsgrad }: { readonly remembers: boolean; readonly amsgrad: boolean }) => ({
      ...(remembers && amsgrad && { largest: "0" }),
    });
    expect(await message({ hyperparameters, structure, slots })).toMatch(/^Written: slots\.largest/);
    // In one structure a tensor, in the other a number: a state could not say which.
    const scalarSlots = (_: unknown, { amsgrad }: { readonly amsgrad: boolean }) => ({
      ...(!amsgrad && { v: 0 }),
    });
    const either = ({ amsgrad }: { readonly amsgrad: boolean }) => ({ ...(amsgrad && { v: 0 }) });
    expect(await message({ hyperparameters, slots: either, scalarSlots })).toMatch(
      /^Written: scalarSlots\.v/,
    );
  });
});

describe("a scalar slot that a rule returns as a number", () => {
  const twice: UpdateRuleFactory<{ lr: number }> = defineUpdateRule({
    name: "Twice after the first",
    hyperparameters: { lr: 1 },
    scalarSlots: () => ({ started: 0 }),
    update: ({ param, grad, started }, { lr }) => ({
      param: sub(param, mul(mul(lr, select(eq(started, 0), 1, 2)), grad)),
      started: 1,
    }),
  });

  test("is kept", async () => {
    const w = Float32Array.of(10);
    const optimizer = arrayOptimizer(twice(), { w });
    const wrapper = createOptimWrapper(optimizer);
    for (const _ of [1, 2, 3]) wrapper.updateParams(gradients({ w: [1] }));
    // 10 − 1 − 2 − 2
    expect(w[0]).toBe(5);
    expect((await optimizer.stateDict()).params[0]?.scalarSlots).toEqual({ started: 1 });
  });

  test.each([Number.NaN, Infinity, 1e39])("is finite: not %s", async (value) => {
    const rule = defineUpdateRule({
      name: "Endless",
      hyperparameters: { lr: 1 },
      scalarSlots: () => ({ count: 0 }),
      update: ({ param }) => ({ param, count: value }),
    });
    const error = await refusal(() => arrayOptimizer(rule(), { w: new Float32Array(1) }));
    expect(error.code).toBe("invalid-rule");
  });
});
