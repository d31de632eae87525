import { createOptimWrapper, type ParamGroupInput, type ParametersInput } from "@mm/optim-core";
import type { BaseHyperparameters } from "@mm/optim-core/rule";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, descent, gradients, heavyBall, type MomentumHyperparameters } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

type Group = ParamGroupInput<Float32Array, BaseHyperparameters>;

/** A group of parameters with one element each, all at 0. */
const group = (names: string, lr?: number, name?: string): Group => ({
  ...(name !== undefined && { name }),
  ...(lr !== undefined && { lr }),
  params: Object.fromEntries(names.split("").map((letter) => [letter, new Float32Array(1)])),
});

const optimizerOf = (...groups: readonly Group[]) => arrayOptimizer(descent(), groups);
const rates = (...groups: readonly { readonly lr: number }[]): readonly number[] =>
  groups.map(({ lr }) => lr);

describe("groups of a state find theirs", () => {
  test("without names, by their parameters, in whatever order", async () => {
    const state = await optimizerOf(group("a", 0.1), group("bc", 0.2)).stateDict();
    const other = optimizerOf(group("bc", 8), group("a", 9));
    expect(other.prepareLoad(state).commit()).toEqual({
      missing: [],
      unexpected: [],
      changed: ['group "0".lr', 'group "1".lr'],
      defaulted: [],
    });
    expect(rates(...other.paramGroups)).toEqual([0.2, 0.1]);
  });

  test("by name, where both have one", async () => {
    const state = await optimizerOf(group("a", 0.1, "x"), group("b", 0.2, "y")).stateDict();
    const other = optimizerOf(group("b", 8, "y"), group("a", 9, "x"));
    other.prepareLoad(state).commit();
    expect(rates(...other.paramGroups)).toEqual([0.2, 0.1]);
  });

  test("by their parameters, where one of the two has a name", async () => {
    const state = await optimizerOf(group("ab", 0.1), group("c", 0.2)).stateDict();
    const other = optimizerOf(group("c", 8, "head"), group("ab", 9));
    other.prepareLoad(state).commit();
    expect(rates(...other.paramGroups)).toEqual([0.2, 0.1]);
  });

  test("after rename", async () => {
    const state = await optimizerOf(group("a", 0.1), group("b", 0.2)).stateDict();
    const other = optimizerOf(group("B", 8), group("A", 9));
    other.prepareLoad(state, { rename: (name) => name.toUpperCase() }).commit();
    expect(rates(...other.paramGroups)).toEqual([0.2, 0.1]);
  });

  test("a tie is refused: nobody knows which is meant", async () => {
    const state = await optimizerOf(group("a", 0.1), group("b", 0.2)).stateDict();
    const other = optimizerOf(group("ab", 5));
    const error = await refusal(() => other.prepareLoad(state));
    expect(error.code).toBe("state-mismatch");
    expect(error.message).toContain("more than one group of the state");
    expect(rates(...other.paramGroups)).toEqual([5]);
  });

  test("a parameter that moved to another group is refused by name, and reported without strict", async () => {
    const state = await optimizerOf(group("abc", 0.1), group("de", 0.2)).stateDict();
    const other = optimizerOf(group("ab", 8), group("cde", 9));
    expect((await refusal(() => other.prepareLoad(state))).mismatched).toEqual([
      'c: group "0" saved, group "1" here',
    ]);
    const report = other.prepareLoad(state, { strict: false }).commit();
    expect(report.unexpected).toEqual(['c: group "0" saved, group "1" here']);
    expect(rates(...other.paramGroups)).toEqual([0.1, 0.2]);
  });

  test("two with names that differ are two groups", async () => {
    const state = await optimizerOf(group("a", 0.1, "x")).stateDict();
    const error = await refusal(() => optimizerOf(group("a", 9, "y")).prepareLoad(state));
    expect(error).toMatchObject({ missing: ['group "y"'], unexpected: ['group "x"'] });
  });
});

describe("hyperparameters of another release", () => {
  const ball = (parameters: ParametersInput<Float32Array, MomentumHyperparameters>) =>
    arrayOptimizer(heavyBall({ momentum: 0.5 }), parameters);

  test("one that the rule does not have is reported, and drops none that it has", async () => {
    const state = await ball({ w: new Float32Array(1) }).stateDict();
    const [saved] = state.groups;
    const hyperparameters = { ...saved?.hyperparameters, lr: 0.25, decoupledWeightDecay: true };
    const other = ball({ w: new Float32Array(1) });
    const report = other.prepareLoad({ ...state, groups: [{ ...saved, hyperparameters }] as never }).commit();
    expect(report).toMatchObject({ missing: [], unexpected: ['group "0".decoupledWeightDecay'] });
    expect(other.paramGroups[0].lr).toBe(0.25);
  });
});

describe("a count comes with its slots, or not at all", () => {
  test("what is left out of a state of another rule is reported", async () => {
    const w = new Float32Array(1);
    const before = createOptimWrapper(arrayOptimizer(descent(), { w }));
    for (let step = 0; step < 1000; step += 1) before.updateParams(gradients({ w: [1] }));
    const after = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w });
    const state = (await before.stateDict()).optimizer;
    expect(after.prepareLoad(state, { strict: false }).commit()).toMatchObject({
      missing: ["w.buffer"],
      unexpected: ["w.step", "rule: Descent saved, HeavyBall here"],
    });
    expect((await after.stateDict()).params[0]?.step).toBe(0);
  });

  test("the other way round there is no slot to lack", async () => {
    const w = new Float32Array(1);
    const before = arrayOptimizer(heavyBall({ momentum: 0.5 }), { w });
    before.backward(gradients({ w: [1] }));
    before.step();
    const after = arrayOptimizer(descent(), { w });
    expect(after.prepareLoad(await before.stateDict(), { strict: false }).commit()).toMatchObject({
      missing: [],
      unexpected: ["w.buffer", "rule: HeavyBall saved, Descent here", 'group "0".momentum'],
    });
    expect((await after.stateDict()).params[0]?.step).toBe(1);
  });
});

describe("frozen names are state", () => {
  const frozenPair = () => arrayOptimizer(descent(), { a: new Float32Array(1), b: new Float32Array(1) });

  test("a load takes them over, through rename, and says so", async () => {
    const before = frozenPair();
    before.freeze(["a"]);
    const state = await before.stateDict();
    const after = arrayOptimizer(descent(), { A: new Float32Array(1), B: new Float32Array(1) });
    after.freeze(["B"]);
    const rename = (name: string): string => name.toUpperCase();
    expect(after.prepareLoad(state, { rename }).commit().changed).toEqual(["frozen"]);
    expect(after.frozen).toEqual(["A"]);
    expect(after.prepareLoad(state, { rename }).commit().changed).toEqual([]);
  });

  test("a resumed run is the run that was not interrupted", async () => {
    const train = (optimizer: ReturnType<typeof frozenPair>, times: number): void => {
      for (let step = 0; step < times; step += 1) {
        optimizer.zeroGrad();
        optimizer.backward(gradients({ a: [1], b: [1] }));
        optimizer.step();
      }
    };
    const before = frozenPair();
    before.freeze(["b"]);
    train(before, 3);
    const after = frozenPair();
    after.writeParameters(await before.readParameters());
    after.prepareLoad(await before.stateDict()).commit();
    train(after, 2);
    expect(await after.readParameters()).toEqual({ a: Float32Array.of(-5), b: Float32Array.of(0) });
  });

  test("they stay the program's where it says so, and where the state is older", async () => {
    const before = frozenPair();
    before.freeze(["a"]);
    const { frozen, ...older } = await before.stateDict();
    expect(frozen).toEqual(["a"]);
    const after = frozenPair();
    after.freeze(["b"]);
    after.prepareLoad({ ...older, frozen: ["a"] }, { restore: { frozen: false } }).commit();
    expect(after.frozen).toEqual(["b"]);
    expect(after.prepareLoad(older).commit().changed).toEqual([]);
    expect(after.frozen).toEqual(["b"]);
  });

  test("with all of them frozen nothing steps, and counts go on", async () => {
    const optimizer = frozenPair();
    const wrapper = createOptimWrapper(optimizer, { accumulativeCounts: 2 });
    wrapper.freeze(["a", "b"]);
    const never = (): never => {
      throw new Error("run although nothing can be learnt from it");
    };
    for (let count = 1; count <= 4; count += 1) {
      expect(wrapper.updateParams(never)).toEqual({ updated: false });
      expect(wrapper.innerCount).toBe(count);
    }
    expect(wrapper.updateParams(gradients({}, 7), { returnLoss: true })).toEqual({ updated: false, loss: 7 });
    expect(wrapper.flush()).toEqual({ updated: false });
    expect(await wrapper.readMetrics()).toMatchObject({ steps: 0, skipped: 0 });
    wrapper.unfreeze(["a"]);
    wrapper.updateParams(gradients({ a: [1] }));
    wrapper.flush();
    expect(await optimizer.readParameters()).toMatchObject({ a: Float32Array.of(-1) });
  });
});

test("a closure that gives no gradient, where something could learn, is an error", async () => {
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w: new Float32Array(1) }));
  const error = await refusal(() => wrapper.updateParams(gradients({})));
  expect(error.code).toBe("no-gradient");
  expect(error.message).toContain("wrapper.skip()");
  expect(wrapper.innerCount).toBe(0);
});
