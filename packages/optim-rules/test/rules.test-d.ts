import { createOptimWrapper, type NamedTensors, type ParamGroup } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adamw,
  type AdamwHyperparameters,
  cautious,
  ema,
  type EmaHyperparameters,
  lion,
  lookahead,
  norMuon,
  type NorMuonHyperparameters,
  samAscent,
  sgd,
  type SgdHyperparameters,
  swa,
} from "@mm/optim-rules";
import { describe, expectTypeOf, test } from "vitest";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";

describe("rules", () => {
  test("know their hyperparameters", () => {
    expectTypeOf(adamw({ lr: 1e-3, betas: [0.9, 0.95] })).toEqualTypeOf<UpdateRule<AdamwHyperparameters>>();
    expectTypeOf(sgd()).toEqualTypeOf<UpdateRule<SgdHyperparameters>>();
    // @ts-expect-error AdamW has no momentum; it has betas
    adamw({ momentum: 0.9 });
    // @ts-expect-error betas are two
    adamw({ betas: [0.9] });
    // @ts-expect-error a switch is not a number
    adamw({ amsgrad: 1 });
    // @ts-expect-error Lion divides by nothing, so it has no eps
    lion({ eps: 1e-8 });
    expectTypeOf(norMuon({ beta2: 0.9 }, { steps: 3, scale: "matchRmsAdamW" })).toEqualTypeOf<
      UpdateRule<NorMuonHyperparameters>
    >();
    // @ts-expect-error this scale is Muon's and AdaMuon's
    norMuon({}, { scale: "rmsToRms" });
    const [ascent] = arrayOptimizer(samAscent({ adaptive: true }), { w: new Float32Array(1) }).paramGroups;
    expectTypeOf(ascent.adaptive).toEqualTypeOf<boolean>();
    // @ts-expect-error a switch is not a number
    samAscent({ adaptive: 0.01 });
  });

  test("type the groups of an optimizer", () => {
    const [group] = arrayOptimizer(adamw(), { w: new Float32Array(1) }).paramGroups;
    expectTypeOf(group).toEqualTypeOf<ParamGroup<AdamwHyperparameters>>();
    expectTypeOf(group.weightDecay).toEqualTypeOf<number>();
    group.betas = [0.5, 0.9];
    // @ts-expect-error elements are read-only: a tuple is replaced as a whole, so that it is checked
    group.betas[0] = 0.5;
    // @ts-expect-error AdamW has no momentum
    group.momentum = 0.9;
  });
});

describe("combinators", () => {
  test("add their hyperparameters to the rule's", () => {
    expectTypeOf(cautious(adamw())).toEqualTypeOf<UpdateRule<AdamwHyperparameters>>();
    expectTypeOf(ema(sgd())).toEqualTypeOf<UpdateRule<SgdHyperparameters & EmaHyperparameters>>();
    const [group] = arrayOptimizer(lookahead(ema(cautious(adamw()))), { w: new Float32Array(1) }).paramGroups;
    expectTypeOf(group.emaDecay).toEqualTypeOf<number>();
    expectTypeOf(group.syncPeriod).toEqualTypeOf<number>();
    expectTypeOf(group.weightDecay).toEqualTypeOf<number>();
    // @ts-expect-error it is emaDecay, beside the rule's own hyperparameters
    ema(sgd(), { decay: 0.9 });
    // @ts-expect-error a combinator takes a rule, not its factory
    ema(sgd);
  });

  test("a parameter says the bytes of its slots, where its optimizer does", () => {
    const [parameter] = arrayOptimizer(sgd(), { w: new Float32Array(1) }).parameters;
    expectTypeOf(parameter?.slotBytes).toEqualTypeOf<number | undefined>();
  });

  test("an evaluation gives what its run gives, and slots are read by name", () => {
    const optimizer = arrayOptimizer(swa(ema(adamw())), { w: new Float32Array(1) });
    const wrapper = createOptimWrapper(optimizer);
    expectTypeOf(wrapper.evaluating(() => "done")).resolves.toBeString();
    expectTypeOf(wrapper.evaluating(() => Promise.resolve(1))).resolves.toBeNumber();
    // @ts-expect-error a run is called, and gets nothing
    void wrapper.evaluating((model: object) => model);
    expectTypeOf(wrapper.readSlots(["ema", "swa"])).resolves.toEqualTypeOf<{
      readonly ema: NamedTensors;
      readonly swa: NamedTensors;
    }>();
  });
});
