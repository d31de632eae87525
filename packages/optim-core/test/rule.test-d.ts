import {
  add,
  biasCorrection,
  type Condition,
  defineUpdateRule,
  gt,
  mul,
  norm,
  pow,
  type Scalar,
  select,
  shared,
  sqrt,
  sub,
  type Tensor,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { describe, expectTypeOf, test } from "vitest";

declare const tensor: Tensor;
declare const scalar: Scalar;

describe("expressions", () => {
  test("are tensors as soon as an operand is", () => {
    expectTypeOf(mul(tensor, scalar)).toEqualTypeOf<Tensor>();
    expectTypeOf(mul(2, tensor)).toEqualTypeOf<Tensor>();
    expectTypeOf(mul(2, scalar)).toEqualTypeOf<Scalar>();
    expectTypeOf(norm(tensor)).toEqualTypeOf<Scalar>();
    expectTypeOf(biasCorrection(0.9, scalar)).toEqualTypeOf<Scalar>();
    expectTypeOf(gt(scalar, 1)).toExtend<Condition<Scalar | number>>();
    expectTypeOf(select(gt(scalar, 1), scalar, 0)).toEqualTypeOf<Scalar>();
    expectTypeOf(select(gt(tensor, 1), scalar, 0)).toEqualTypeOf<Tensor>();
  });

  test("take no operators, and scalars where only scalars go", () => {
    // @ts-expect-error an expression is no number: mul(tensor, 2)
    void (tensor * 2);
    // @ts-expect-error an expression is no number: gt(scalar, 0), in select()
    void (scalar > 0);
    // @ts-expect-error per element, pow is not to be had on every backend
    pow(tensor, 2);
    // @ts-expect-error scalars only
    biasCorrection(0.9, tensor);
    // @ts-expect-error a condition is for select
    sqrt(gt(tensor, 0));
    // @ts-expect-error a condition is wanted
    select(tensor, 1, 0);
    // @ts-expect-error of a whole tensor
    norm(scalar);
    // @ts-expect-error a boolean is no operand
    add(tensor, true);
  });
});

interface Hyperparameters {
  lr: number;
  momentum: number;
  betas: readonly [number, number];
  nesterov: boolean;
}

describe("rules", () => {
  test("numbers are expressions, booleans plain, tuples tuples; a slot is what it is named", () => {
    const rule: UpdateRuleFactory<Hyperparameters> = defineUpdateRule({
      name: "Typed",
      hyperparameters: { lr: 1, momentum: 0, betas: [0.9, 0.999], nesterov: false },
      structure: ({ momentum }) => ({ remembers: momentum !== 0 }),
      slots: ({ remembers, nesterov }) => ({ first: 0, ...((remembers || nesterov) && { second: 0 }) }),
      scalarSlots: () => ({ product: 1 }),
      update({ param, grad, step, first, second, product }, { lr, betas: [beta1] }, structure) {
        expectTypeOf({ param, grad, first, second }).toEqualTypeOf<{
          param: Tensor;
          grad: Tensor;
          first: Tensor;
          second: Tensor;
        }>();
        expectTypeOf({ step, product, lr, beta1 }).toEqualTypeOf<{
          step: Scalar;
          product: Scalar;
          lr: Scalar;
          beta1: Scalar;
        }>();
        expectTypeOf(structure.remembers).toEqualTypeOf<boolean>();
        expectTypeOf(structure.nesterov).toEqualTypeOf<boolean>();
        return { param: sub(param, mul(lr, grad)), first, second, product: mul(product, beta1) };
      },
    });
    expectTypeOf(rule({ lr: 1 })).toEqualTypeOf<UpdateRule<Hyperparameters>>();
    rule({ betas: [0, 0] });
    // @ts-expect-error a misspelled name
    rule({ learningRate: 1 });
    // @ts-expect-error two betas
    rule({ betas: [0] });
    // @ts-expect-error a number
    rule({ lr: "1" });
  });

  test("a shared slot is a scalar, and begins at a number", () => {
    defineUpdateRule({
      name: "Sharing",
      hyperparameters: { lr: 1 },
      scalarSlots: ({ lr }) => ({ size: shared(lr) }),
      update({ param, size }) {
        expectTypeOf(size).toEqualTypeOf<Scalar>();
        return { param, size: 1 };
      },
    });
    // @ts-expect-error a number
    shared("param");
  });

  test("an evaluation point is a tensor of the parameter and the slots", () => {
    defineUpdateRule({
      name: "Averaging",
      hyperparameters: { lr: 1, betas: [0.9, 0.999], nesterov: false },
      slots: () => ({ mean: "param", sum: 0 }),
      scalarSlots: () => ({ count: 0 }),
      update: ({ param, mean, sum, count }) => ({ param, mean, sum, count }),
      evaluate({ param, mean, sum, count, ...others }, { betas: [beta1] }, { nesterov }) {
        expectTypeOf({ param, mean, sum }).toEqualTypeOf<{ param: Tensor; mean: Tensor; sum: Tensor }>();
        expectTypeOf({ count, beta1 }).toEqualTypeOf<{ count: Scalar; beta1: Scalar }>();
        expectTypeOf(nesterov).toEqualTypeOf<boolean>();
        // No gradient, and no step.
        expectTypeOf<keyof typeof others>().toEqualTypeOf<never>();
        return mul(mean, beta1);
      },
    });
    defineUpdateRule({
      name: "Wrong",
      hyperparameters: { lr: 1 },
      update: ({ param }) => ({ param }),
      // @ts-expect-error a scalar is no point
      evaluate: (_, { lr }) => lr,
    });
    defineUpdateRule({
      name: "Wrong",
      hyperparameters: { lr: 1 },
      // @ts-expect-error a slot begins as a number or as the parameter
      slots: () => ({ z: "grad" }),
      update: ({ param, z }) => ({ param, z }),
    });
  });

  test("a hyperparameter is no slot, and booleans are no expressions", () => {
    defineUpdateRule({
      name: "Wrong",
      hyperparameters: { lr: 1, nesterov: false },
      slots: () => ({ buffer: 0 }),
      // @ts-expect-error there is no slot `momentum`
      update: ({ param, momentum }) => ({ param: mul(param, momentum as Tensor) }),
    });
    defineUpdateRule({
      name: "Wrong",
      hyperparameters: { lr: 1, nesterov: false },
      // @ts-expect-error `nesterov` is in the structure, the third argument
      update: ({ param }, { nesterov }) => ({ param: mul(param, nesterov as Scalar) }),
    });
    defineUpdateRule({
      name: "Wrong",
      hyperparameters: { lr: 1 },
      // @ts-expect-error the parameter is missing
      update: ({ grad }) => ({ grad }),
    });
    // @ts-expect-error every rule has a learning rate
    defineUpdateRule({ name: "Wrong", hyperparameters: { momentum: 1 }, update: ({ param }) => ({ param }) });
  });
});
