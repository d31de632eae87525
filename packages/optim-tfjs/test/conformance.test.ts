import { testOptimizer } from "@mm/optim-conformance";
import { testGolden } from "@mm/optim-conformance/golden";
import { describe, expect, test } from "vitest";
import { fixtures } from "../../optim-conformance/test/fixtures.ts";
import { searchDifference } from "../../optim-conformance/test/scenarios.ts";
import { paths } from "./backends.ts";
import { tfjsFactory } from "./factory.ts";

describe.each(paths)("$name", async (path) => {
  const factory = await tfjsFactory(path);

  testOptimizer({ test, factory });

  for (const file of fixtures.values()) testGolden({ test, factory, file });

  test("any training run equals the reference", async () => {
    const search = path.inPlace
      ? // To the bit, over all of float32.
        { withEdges: true, numRuns: 60 }
      : // Within a tolerance, which random numbers could exceed by chance: always the same ones.
        { withEdges: false, numRuns: 20, seed: 1 };
    expect(await searchDifference(factory, search)).toBeUndefined();
  });
});
