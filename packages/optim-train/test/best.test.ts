import { createBest, plainState } from "@mm/optim-train";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

describe("createBest", () => {
  test("keeps the least or the most, and counts the measures since", () => {
    const least = createBest({ mode: "min", patience: 2 });
    expect([least.value, least.since, least.exhausted]).toEqual([undefined, 0, false]);
    expect([3, 4, 2, 2, 5].map((measure) => least.observe(measure))).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect([least.value, least.since, least.exhausted]).toEqual([2, 2, true]);
    const most = createBest({ mode: "max" });
    expect([3, 4, 2].map((measure) => most.observe(measure))).toEqual([true, true, false]);
    expect([most.value, most.exhausted]).toEqual([4, false]);
  });

  test("wants more than the threshold", () => {
    const best = createBest({ mode: "max", threshold: 0.5 });
    expect([1, 1.5, 1.75].map((measure) => best.observe(measure))).toEqual([true, false, true]);
  });

  test("finds nothing good in what is not finite", () => {
    const best = createBest({ mode: "max" });
    expect([Number.NaN, Infinity, 1, Number.NaN].map((measure) => best.observe(measure))).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect(thrownBy(() => best.observe("1" as never)).code).toBe("invalid-option");
  });

  test("goes on from its state, and refuses another's", () => {
    const first = createBest({ mode: "min", patience: 3 });
    const second = createBest({ mode: "min", patience: 3 });
    void second.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())));
    expect([second.value, second.since]).toEqual([undefined, 0]);
    for (const measure of [1, 2, 3]) first.observe(measure);
    void second.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())));
    expect([second.value, second.since, second.observe(4), second.exhausted]).toEqual([1, 2, false, true]);
    expect(thrownBy(() => second.loadStateDict({ since: 0 })).code).toBe("invalid-state");
    expect(second.value).toBe(1);
  });

  test.each([{}, { mode: "less" }, { mode: "min", patience: 0 }, { mode: "min", threshold: -1 }])(
    "refuses %j",
    (options) => {
      expect(thrownBy(() => createBest(options as never)).code).toBe("invalid-option");
    },
  );
});

test("plain data shares nothing with its state", () => {
  const scores = plainState<{ list: number[]; array: Float32Array }>({
    list: [1],
    array: Float32Array.of(1),
  });
  const state = scores.stateDict() as typeof scores.value;
  scores.value.list.push(2);
  scores.value.array[0] = 5;
  expect(state).toEqual({ list: [1], array: Float32Array.of(1) });
  void scores.loadStateDict(state);
  scores.value.list.push(9);
  expect([scores.value.list, state.list]).toEqual([[1, 9], [1]]);
});
