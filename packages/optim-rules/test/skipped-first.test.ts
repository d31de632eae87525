import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adamw,
  asgd,
  ema,
  lookahead,
  scheduleFreeAdamw,
  scheduleFreeRadam,
  scheduleFreeSgd,
  sgd,
  swa,
} from "@mm/optim-rules";
import { expect, test } from "vitest";
import { arrayOptimizer } from "../../../test-support/array-optimizer.ts";

const rules: readonly UpdateRule[] = [
  asgd(),
  scheduleFreeAdamw(),
  scheduleFreeRadam(),
  scheduleFreeSgd(),
  ema(adamw()),
  swa(adamw()),
  lookahead(sgd()),
];

test.each(rules.map((rule) => [rule.name, rule] as const))(
  "%s: a first step that is skipped leaves the model where it was, evaluated too",
  (_, rule) => {
    const w = Float32Array.of(1, 2, 3);
    const optimizer = arrayOptimizer(rule, { w });
    optimizer.backward(() => ({ w: [Infinity, 1, 1] }));
    optimizer.step({ onNonFinite: "skip" });
    optimizer.zeroGrad();
    optimizer.swapIn();
    expect([...w]).toEqual([1, 2, 3]);
    optimizer.swapOut();
    expect([...w]).toEqual([1, 2, 3]);
  },
);
