import { createOptimWrapper, OptimError } from "@mm/optim-core";
import {
  abs,
  add,
  biasCorrection,
  type Condition,
  defineUpdateRule,
  div,
  eq,
  exp,
  gt,
  log,
  lt,
  max,
  min,
  mul,
  neg,
  norm,
  type Operand,
  orthogonalize,
  pow,
  type Scalar,
  select,
  sign,
  sqrt,
  sub,
  sum,
  type Tensor,
  total,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, gradients, heavyBall } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

interface Written {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly step: Scalar;
  readonly slot: Tensor;
  readonly count: Scalar;
  readonly lr: Scalar;
}

/** A rule as somebody without types might write it, with a slot, a scalar slot and a momentum that may be switched on. */
function untyped(update: (x: Written) => object, slots: object = { slot: 0 }): UpdateRule {
  return defineUpdateRule({
    name: "Untyped",
    hyperparameters: { lr: 1 },
    slots: () => slots as { readonly slot: number },
    scalarSlots: () => ({ count: 0 }),
    update: (x, h) => update({ ...x, ...h }) as { readonly param: Tensor },
  })();
}

const build = (rule: UpdateRule) => arrayOptimizer(rule, { w: new Float32Array(1) });
const fine = ({ param, slot, count }: Written) => ({ param, slot, count });
// Calls that types forbid and JavaScript makes.
const as = <T>(value: unknown): T => value as T;

describe("a malformed rule is refused when an optimizer is made, not at its first step", () => {
  test("the rule that the others are variations of is fine", () => {
    expect(build(untyped(fine)).rule).toBe("Untyped");
  });

  test.each<[string, (x: Written) => object, RegExp]>([
    ["a slot is missing from what it returns", ({ param, count }) => ({ param, count }), /slot/],
    ["a scalar slot is missing", ({ param, slot }) => ({ param, slot }), /count/],
    ["the parameter is missing", ({ slot, count }) => ({ slot, count }), /param/],
    ["a slot is undefined", (x) => ({ ...fine(x), slot: undefined }), /slot/],
    ["there is one key too many", (x) => ({ ...fine(x), buffer: x.grad }), /buffer/],
    ["a number stands for an expression", (x) => ({ ...fine(x), slot: 0 }), /slot/],
    ["a tensor stands for a scalar", (x) => ({ ...fine(x), count: x.grad }), /count/],
    ["a condition stands for a value", (x) => ({ ...fine(x), slot: gt(x.grad, 0) }), /slot/],
    [
      "a slot is misspelled",
      (x) => ({ ...fine(x), slot: mul(2, as<{ sloth: Tensor }>(x).sloth) }),
      /misspelled/,
    ],
    [
      "an operand is a string",
      (x) => ({ ...fine(x), slot: mul(x.grad, as<number>("2")) }),
      /an expression or a number/,
    ],
    [
      "a constant is infinite",
      (x) => ({ ...fine(x), slot: mul(x.grad, Number.POSITIVE_INFINITY) }),
      /finite/,
    ],
    ["a constant is not finite in float32", (x) => ({ ...fine(x), slot: mul(x.grad, 1e39) }), /finite/],
    [
      "a condition is multiplied",
      (x) => ({ ...fine(x), slot: mul(as<Tensor>(gt(x.grad, 0)), 2) }),
      /condition/,
    ],
    [
      "select has no condition",
      (x) => ({ ...fine(x), slot: select(as<Condition>(x.grad), x.grad, 0) }),
      /condition/,
    ],
    ["pow of a tensor", (x) => ({ ...fine(x), slot: pow(as<Scalar>(x.grad), 2) }), /scalars/],
    ["exp of a tensor", (x) => ({ ...fine(x), slot: exp(as<Scalar>(x.grad)) }), /scalars/],
    ["log of a tensor", (x) => ({ ...fine(x), slot: log(as<Scalar>(x.grad)) }), /scalars/],
    [
      "biasCorrection of a tensor",
      (x) => ({ ...fine(x), slot: biasCorrection(0.9, as<Scalar>(x.grad)) }),
      /scalars/,
    ],
    ["the norm of a scalar", (x) => ({ ...fine(x), slot: norm(as<Tensor>(x.lr)) }), /a tensor/],
    [
      "the sum of a sum per row",
      (x) => ({ ...fine(x), slot: sum(as<Tensor>(sum(x.grad, "row")), "row") }),
      /a tensor/,
    ],
    [
      "what is one per row, without shapes",
      (x) => ({ ...fine(x), slot: sum(x.grad, "row") }),
      /shapes: "matrix"/,
    ],
    [
      "rows, without shapes",
      (x) => ({ ...fine(x), slot: mul(x.grad, as<{ rows: Scalar }>(x).rows) }),
      /shapes: "matrix"/,
    ],
    [
      "an orthogonalized tensor, without shapes",
      (x) => ({ ...fine(x), slot: orthogonalize(x.grad) }),
      /shapes: "matrix"/,
    ],
    [
      "the total of a tensor",
      (x) => ({ ...fine(x), slot: total(as<Scalar>(x.grad)) }),
      /reduce a tensor first/,
    ],
    ["*", (x) => ({ ...fine(x), slot: as<number>(x.grad) * 2 }), /mul\(a, b\)/],
    ["+", (x) => ({ ...fine(x), slot: as<number>(x.grad) + 2 }), /mul\(a, b\)/],
    ["unary −", (x) => ({ ...fine(x), slot: -as<number>(x.grad) }), /mul\(a, b\)/],
    [">", (x) => (as<number>(x.lr) > 0 ? fine(x) : {}), /branch on a boolean/],

    ["a template", (x) => ({ [`slot of ${as<string>(x.grad)}`]: x.grad }), /JavaScript operator/],
    ["Math.sqrt", (x) => ({ ...fine(x), slot: Math.sqrt(as<number>(x.grad)) }), /JavaScript operator/],
  ])("%s", async (_, update, message) => {
    const error = await refusal(() => build(untyped(update)));
    expect(error.code).toBe("invalid-rule");
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^Untyped: /);
  });

  test.each(["param", "grad", "step"])("a slot may not be named %s", async (name) => {
    expect((await refusal(() => build(untyped(fine, { [name]: 0 })))).code).toBe("invalid-rule");
  });

  test("what is no rule", async () => {
    for (const rule of [undefined, null, heavyBall, {}]) {
      expect((await refusal(() => build(as(rule)))).code).toBe("invalid-rule");
    }
  });

  test("a slot may become the same number everywhere", () => {
    expect(build(untyped((x) => ({ ...fine(x), slot: x.lr }))).rule).toBe("Untyped");
  });
});

describe("hyperparameters", () => {
  const rule = defineUpdateRule({
    name: "Choosy",
    hyperparameters: { lr: 0.1, betas: [0.9, 0.999], nesterov: false },
    check: ({ betas: [beta1] }) => (beta1 < 1 ? undefined : "a first beta below 1"),
    update: ({ param }) => ({ param }),
  });

  test("defaults are filled in, and frozen", () => {
    const { hyperparameters } = rule({ lr: 2 });
    expect(hyperparameters).toEqual({ lr: 2, betas: [0.9, 0.999], nesterov: false });
    expect(Object.isFrozen(hyperparameters)).toBe(true);
    expect(Object.isFrozen(hyperparameters.betas)).toBe(true);
    expect(rule().hyperparameters.lr).toBe(0.1);
    expect(rule({ lr: undefined } as object).hyperparameters.lr).toBe(0.1);
  });

  test.each<[string, object, string]>([
    ["a misspelled name", { learningRate: 1 }, "unknown-option"],
    ["PyTorch's name", { weight_decay: 1 }, "unknown-option"],
    ["a string", { lr: "0.1" }, "invalid-hyperparameter"],
    ["NaN", { lr: Number.NaN }, "invalid-hyperparameter"],
    ["beyond float32", { lr: 1e39 }, "invalid-hyperparameter"],
    ["null", { lr: null }, "invalid-hyperparameter"],
    ["a number for a switch", { nesterov: 1 }, "invalid-hyperparameter"],
    ["a number for a tuple", { betas: 0.9 }, "invalid-hyperparameter"],
    ["a tuple that is too short", { betas: [0.9] }, "invalid-hyperparameter"],
    ["a tuple that is too long", { betas: [0.9, 0.9, 0.9] }, "invalid-hyperparameter"],
    ["what the rule refuses", { betas: [1, 0.9] }, "invalid-hyperparameter"],
  ])("%s is refused: in the rule, in a group and at an assignment", async (_, wrong, code) => {
    expect((await refusal(() => rule(wrong))).code).toBe(code);
    const w = new Float32Array(1);
    expect((await refusal(() => arrayOptimizer(rule(), [{ params: { w }, ...wrong }]))).code).toBe(code);

    const [group] = createOptimWrapper(arrayOptimizer(rule(), { w })).paramGroups;
    const [[name, value]] = Object.entries(wrong) as [[string, unknown]];
    // A name that the rule does not have is no property: in strict code its assignment is a TypeError.
    const assigned = await refusal(() => {
      if (!Reflect.set(group, name, value)) throw new OptimError("unknown-option", "Reflect.set");
    });
    expect(assigned.code).toBe(code);
    expect(group).toEqual({ name: "0", params: ["w"], lr: 0.1, betas: [0.9, 0.999], nesterov: false });
  });
});

describe("tracing", () => {
  function counted() {
    const traced: object[] = [];
    const rule = defineUpdateRule({
      name: "Counted",
      hyperparameters: { lr: 1, momentum: 0, nesterov: false },
      structure: ({ momentum }) => ({ remembers: momentum !== 0 }),
      slots: ({ remembers }) => ({ ...(remembers && { buffer: 0 }) }),
      update({ param, grad, buffer }, { lr, momentum }, structure) {
        traced.push(structure);
        if (!structure.remembers) return { param: sub(param, mul(lr, grad)) };
        const next = add(mul(momentum, buffer), grad);
        return { param: sub(param, mul(lr, next)), buffer: next };
      },
    });
    return { traced, rule };
  }

  test("once per structure: not per step, not per value, not per optimizer", () => {
    const { traced, rule } = counted();
    const w = new Float32Array(1);
    const wrapper = createOptimWrapper(arrayOptimizer(rule(), { w }));
    const [group] = wrapper.paramGroups;
    const [off, on] = [
      { nesterov: false, remembers: false },
      { nesterov: false, remembers: true },
    ];
    expect(traced).toEqual([off]);
    for (const lr of [1, 0.5, 0.25]) {
      group.lr = lr;
      wrapper.updateParams(gradients({ w: [1] }));
    }
    expect(traced).toEqual([off]);
    group.momentum = 0.5;
    for (const momentum of [0.5, 0.9]) {
      group.momentum = momentum;
      wrapper.updateParams(gradients({ w: [1] }));
    }
    arrayOptimizer(rule({ momentum: 0.1 }), { w });
    arrayOptimizer(rule(), { w });
    expect(traced).toEqual([off, on]);
  });

  test("a live value that crosses one the structure names: its slot appears, and keeps what it held while it is off", async () => {
    const w = new Float32Array(1);
    const wrapper = createOptimWrapper(arrayOptimizer(heavyBall(), { w }));
    const [group] = wrapper.paramGroups;
    const step = () => wrapper.updateParams(gradients({ w: [1] }));
    const buffer = async () => (await wrapper.stateDict()).optimizer.params[0]?.slots["buffer"];
    step();
    expect([w[0], await buffer()]).toEqual([-1, undefined]);
    group.momentum = 0.5;
    step();
    step();
    // b = 1, then 1.5; w = −1 − 1 − 1.5
    expect([w[0], await buffer()]).toEqual([-3.5, Float32Array.of(1.5)]);
    group.momentum = 0;
    step();
    expect([w[0], await buffer()]).toEqual([-4.5, Float32Array.of(1.5)]);
    group.momentum = 0.5;
    step();
    // b = 0.75 + 1
    expect([w[0], await buffer()]).toEqual([-6.25, Float32Array.of(1.75)]);
  });

  test("groups may have different structures", () => {
    const [a, b] = [new Float32Array(1), new Float32Array(1)];
    const wrapper = createOptimWrapper(
      arrayOptimizer(heavyBall(), [{ params: { a } }, { params: { b }, momentum: 0.5 }]),
    );
    for (const _ of [1, 2]) wrapper.updateParams(gradients({ a: [1], b: [1] }));
    expect([a[0], b[0]]).toEqual([-2, -2.5]);
  });
});

describe("the meaning of the operations", () => {
  /** θ ← f(θ, g), element by element. */
  function evaluate(
    f: (param: Tensor, grad: Tensor) => Operand,
    params: readonly number[],
    grads: readonly number[],
  ) {
    const w = Float32Array.from(params);
    const rule = defineUpdateRule({
      name: "Operation",
      hyperparameters: { lr: 1 },
      update: ({ param, grad }) => ({ param: add(f(param, grad), mul(0, param)) }),
    });
    createOptimWrapper(arrayOptimizer(rule(), { w })).updateParams(gradients({ w: grads }));
    return [...w];
  }
  const float32 = Math.fround;

  test.each<[string, (a: Tensor, b: Tensor) => Operand, (a: number, b: number) => number]>([
    ["add", add, (a, b) => a + b],
    ["sub", sub, (a, b) => a - b],
    ["mul", mul, (a, b) => a * b],
    ["div", div, (a, b) => a / b],
    ["neg", neg, (a) => -a],
    ["abs", abs, Math.abs],
    ["sqrt of |a|", (a) => sqrt(abs(a)), (a) => Math.sqrt(Math.abs(a))],
    ["sign", sign, Math.sign],
    ["min", min, Math.min],
    ["max", max, Math.max],
    ["gt", (a, b) => select(gt(a, b), 1, 0), (a, b) => Number(a > b)],
    ["lt", (a, b) => select(lt(a, b), 1, 0), (a, b) => Number(a < b)],
    ["eq", (a, b) => select(eq(a, b), 1, 0), (a, b) => Number(a === b)],
    ["select", (a, b) => select(gt(a, b), a, b), (a, b) => (a > b ? a : b)],
  ])("%s rounds to float32 once", (_, f, reference) => {
    const [a, b] = [
      [0.1, -0.7, 3, 3, 1e30, -2],
      [0.3, 0.2, 3, -3, 1e-30, -0.5],
    ];
    const expected = a.map((x, i) => float32(reference(float32(x), float32(b[i] as number))));
    expect(evaluate(f, a, b)).toEqual(expected);
  });

  test("NaN goes through min, max and sign, and is neither above, below nor equal", () => {
    for (const f of [min, max]) {
      expect(evaluate((_, b) => f(b, 0), [0, 0], [Number.NaN, 1])[0]).toBeNaN();
      expect(evaluate((_, b) => f(0, b), [0, 0], [Number.NaN, 1])[0]).toBeNaN();
    }
    expect(evaluate((_, b) => sign(b), [0], [Number.NaN])).toEqual([Number.NaN]);
    for (const compare of [gt, lt, eq]) {
      expect(evaluate((_, b) => select(compare(b, 0), 1, 2), [0], [Number.NaN])).toEqual([2]);
    }
  });

  test("a tensor divided by a scalar is multiplied by its reciprocal, which is float64 until it meets the tensor", () => {
    expect(evaluate((_, b) => div(b, 3), [0], [7])).toEqual([float32(7 * float32(1 / 3))]);
    // Scalars are not rounded between their operations: 1e-30 · 1e-30 is 0 in float32.
    expect(evaluate((_, b) => mul(b, mul(mul(1e-30, 1e-30), 1e30)), [0], [1])).toEqual([float32(1e-30)]);
  });

  test("a norm is of the whole tensor", () => {
    expect(evaluate((_, b) => div(b, norm(b)), [0, 0], [3, 4])).toEqual([
      float32(3 * float32(1 / 5)),
      float32(4 * float32(1 / 5)),
    ]);
  });
});
