import { testOptimizer, testRule } from "@mm/optim-conformance";
import { add, defineUpdateRule, div, mul, norm, sqrt, sub } from "@mm/optim-core/rule";
import { testGolden } from "@mm/optim-recordings";
import { adafactor, ema, laprop, norMuon, prodigy } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { everyFixture } from "../../optim-recordings/test/fixtures.ts";
import { searchDifference } from "../../optim-conformance/test/scenarios.ts";
import { paths } from "./backends.ts";
import { nativeFactory, tfjsFactory } from "./factory.ts";

/** Its slot is what the device finds: after a load as before, it computes with it in float32. */
const byAverageNorm = defineUpdateRule({
  name: "AverageNorm",
  hyperparameters: { lr: 0.1, beta: 0.9 },
  scalarSlots: () => ({ average: 1 }),
  update({ param, grad, average }, { lr, beta }) {
    const now = norm(grad);
    const next = sqrt(add(mul(beta, mul(average, average)), mul(sub(1, beta), mul(now, now))));
    return { param: sub(param, mul(div(lr, next), grad)), average: next };
  },
});

describe.each(paths)("$name", async (path) => {
  const factory = await tfjsFactory(path);

  testOptimizer({ test, factory });
  testRule({ test, rule: ema(laprop({ lr: 0.1, eps: 1e-3 })), backends: [factory] });
  for (const rule of [adafactor(), norMuon(), prodigy({ lr: 1, d0: 0.01 }), byAverageNorm()] as const)
    testRule({ test, rule, backends: [factory] });

  for (const file of everyFixture) testGolden({ test, factory, file });

  test("any training run equals the reference", async () => {
    const search = path.inPlace
      ? // To the bit, over all of float32.
        { withEdges: true, numRuns: 60 }
      : // Within a tolerance, which random numbers could exceed by chance: always the same ones.
        { withEdges: false, numRuns: 20, seed: 1 };
    expect(await searchDifference(factory, search)).toBeUndefined();
  });
});

describe("a wrapped tf.train.sgd", async () => {
  const printed: string[] = [];
  // Without `skip`, so that what its capabilities leave out is told in lines.
  testOptimizer({
    test: test.bind(undefined),
    factory: await nativeFactory(),
    print: (line) => printed.push(line),
  });

  test("is skipped where its capabilities say so, and only there", () => {
    const reasons = printed.slice(0, -1).map((line) => /capabilities\.(\w+) is false\)$/.exec(line)?.[1]);
    expect(new Set(reasons)).toEqual(new Set(["rules", "groups"]));
    expect(printed.at(-1)).toMatch(/^tf\.train\.sgd: \d+ passed, 0 failed, \d+ skipped of \d+$/);
  });
});
