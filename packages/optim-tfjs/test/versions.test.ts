import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { runInHost } from "../../../test-support/hosts.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const file = path("programs/host.ts");
const libraries = /^@tensorflow\//;

// The newest is that of all other tests.
const versions = [
  ["4.2.0", "hosts/tfjs-4.2"],
  ["4.11.0", "hosts/tfjs-4.11"],
  ["4.20.0", "hosts/tfjs-4.20"],
] as const;

interface Found {
  readonly whole: readonly number[];
}

/** v ← v ÷ 2 + 2 w, w ← w − v ÷ 4, from w = 1: v is 2, 2 and 1, and w ½, 0 and −¼. From −2 it is all −2 times as much. */
const threeSteps = [-0.25, 0.5];

const expected = {
  inPlace: true,
  isOptimizer: true,
  refused: "invalid-parameter",
  auto: threeSteps,
  ops: threeSteps,
  // One step of two calls: 1 − 2 ÷ 4.
  native: [0.5, -1],
  // 2 − 3 − 3
  joining: [-4],
};

describe("the tfjs of a program", () => {
  test.each(versions)("may be %s", async (version, host) => {
    const found = (await runInHost({ file, host: path(host), libraries, shared: true })) as Found;
    expect(found).toEqual({
      version,
      ...expected,
      withoutCopy: "loaded",
      whole: found.whole,
      again: found.whole,
    });
    // Four Adam steps of about 0.05 from ½ and 0 towards the line 2 x, and more.
    expect(found.whole[0]).toBeGreaterThan(0.7);
  });

  test.each([versions[2]])("may be %s beside another copy, which is ours", async (version, host) => {
    const found = (await runInHost({ file, host: path(host), libraries, shared: false })) as Found;
    // Registered with our copy alone, the optimizer is one that theirs does not know, and says so.
    expect(found).toEqual({
      version,
      ...expected,
      withoutCopy: true,
      whole: found.whole,
      again: found.whole,
    });
  });
});
