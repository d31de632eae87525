import { expect, test } from "vitest";
import { hyperparameterAt, type Settings } from "../src/hyperparameter.ts";
import { thrownBy } from "../../../test-support/refusal.ts";

// Groups of different rules: SGD's momentum, Adam's betas, and a rule with neither.
const groups = (): readonly [Settings, Settings, Settings] => [
  { name: "sgd", lr: 0.1, momentum: 0.9, nesterov: false },
  { name: "adam", lr: 0.2, betas: [0.8, 0.99] },
  { name: "plain", lr: 0.3 },
];

test("momentum is decided group by group", () => {
  const all = groups();
  const momentum = hyperparameterAt("here", "momentum", all);
  expect(all.map((group) => momentum.keyIn(group))).toEqual(["momentum", "betas[0]", undefined]);
  expect(all.map((group) => momentum.read(group))).toEqual([0.9, 0.8, undefined]);
  momentum.write(all[0], 0.5);
  momentum.write(all[1], 0.5);
  expect(all[0]).toEqual({ name: "sgd", lr: 0.1, momentum: 0.5, nesterov: false });
  expect(all[1]).toEqual({ name: "adam", lr: 0.2, betas: [0.5, 0.99] });
});

test("a hyperparameter that one group has is one; what none has is refused, with those that there are", () => {
  const second = hyperparameterAt("here", "betas[1]", groups());
  expect(groups().map((group) => second.read(group))).toEqual([undefined, 0.99, undefined]);
  for (const path of ["betas[2]", "betas", "nesterov", "name", "toString", "constructor[0]", ""]) {
    const { code, message } = thrownBy(() => hyperparameterAt("here", path, groups()));
    expect([code, message]).toEqual([
      "unknown-option",
      `here: expected one of lr, momentum, betas[0], betas[1], accumulativeCounts, got ${JSON.stringify(path)}`,
    ]);
  }
});
