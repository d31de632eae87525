import { defineUpdateRule, mul, sub, type UpdateRuleFactory } from "@mm/optim-core/rule";
import { describe, expectTypeOf, test } from "vitest";

interface ExampleHyperparameters {
  lr: number;
  betas: readonly [beta1: number, beta2: number];
  amsgrad: boolean;
}

describe("the type of a rule's hyperparameters", () => {
  test("is read from the defaults where there is no annotation", () => {
    const rule = defineUpdateRule({
      name: "Example",
      hyperparameters: { lr: 1, betas: [0.9, 0.99], amsgrad: false },
      update: ({ param, grad }, { lr, betas: [beta1] }) => ({ param: sub(param, mul(mul(lr, beta1), grad)) }),
    });
    expectTypeOf(rule().hyperparameters.betas).toEqualTypeOf<readonly [number, number]>();
    rule({ amsgrad: true, betas: [0.5, 0.5] });
    // @ts-expect-error betas are two
    rule({ betas: [0.5] });
  });

  test("is that of the annotation, which the defaults must fit", () => {
    const rule: UpdateRuleFactory<ExampleHyperparameters> = defineUpdateRule({
      name: "Example",
      hyperparameters: { lr: 1, betas: [0.9, 0.99], amsgrad: false },
      update: ({ param }) => ({ param }),
    });
    expectTypeOf(rule().hyperparameters).toEqualTypeOf<Readonly<ExampleHyperparameters>>();
    const missing: UpdateRuleFactory<ExampleHyperparameters> = defineUpdateRule({
      name: "Example",
      // @ts-expect-error amsgrad has no default
      hyperparameters: { lr: 1, betas: [0.9, 0.99] },
      update: ({ param }) => ({ param }),
    });
    const extra: UpdateRuleFactory<ExampleHyperparameters> = defineUpdateRule({
      name: "Example",
      // @ts-expect-error eps is no hyperparameter of this rule
      hyperparameters: { lr: 1, betas: [0.9, 0.99], amsgrad: false, eps: 1e-8 },
      update: ({ param }) => ({ param }),
    });
    expectTypeOf([missing, extra]).toBeArray();
  });
});
