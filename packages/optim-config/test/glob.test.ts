import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileGlob } from "../src/glob.ts";

/** The meaning of a glob in one line, as a regular expression. */
function asExpression(glob: string): RegExp {
  const wildcards: Readonly<Record<string, string>> = { "**": ".*", "*": "[^./]*", "?": "[^./]" };
  const pieces = glob.match(/\*\*|[^]/gu) ?? [];
  const source = pieces.map((piece) => wildcards[piece] ?? piece.replace(/[\\^$.|+()[\]{}/-]/u, "\\$&"));
  return new RegExp(`^${source.join("")}$`, "su");
}

// Few characters, so that names often fit; some that expressions treat in their own way.
const text = (characters: readonly string[], maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...characters), { maxLength }).map((all) => all.join(""));
const glob = text(["a", "b", ".", "/", "*", "*", "**", "?", "\n", "🌱", "^", "$", "[", "\\"], 7);
const name = text(["a", "a", "b", ".", "/", "\n", "🌱", "^", "$", "[", "\\", "*", "?"], 9);

describe("a glob", () => {
  test("fits the names that its expression fits", () => {
    let fitted = 0;
    fc.assert(
      fc.property(glob, name, (pattern, candidate) => {
        const fits = asExpression(pattern).test(candidate);
        fitted += Number(fits);
        expect(compileGlob(pattern)(candidate)).toBe(fits);
      }),
      { numRuns: 5000 },
    );
    // Else the property would say little.
    expect(fitted).toBeGreaterThan(50);
  });

  test("fits a name that was made from it", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom("a", "b", ".", "/", "🌱").map((piece) => [piece, piece] as const),
        text(["a", "b"], 3).map((piece) => ["*", piece] as const),
        text(["a", ".", "/", "🌱"], 3).map((piece) => ["**", piece] as const),
        fc.constantFrom("a", "🌱").map((piece) => ["?", piece] as const),
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(pieces, (made) => {
        const pattern = made.map(([piece]) => piece).join("");
        const candidate = made.map(([, piece]) => piece).join("");
        expect(compileGlob(pattern)(candidate)).toBe(asExpression(pattern).test(candidate));
      }),
    );
  });

  test("whose expression would try for ever is decided at once", () => {
    // 12 wildcards over 60 characters: an expression has 60 over 12, more than 10¹² ways to try.
    const matches = compileGlob("**a".repeat(12) + "b");
    const begun = performance.now();
    expect(matches("a".repeat(60))).toBe(false);
    expect(matches("a".repeat(60) + "b")).toBe(true);
    expect(matches("a".repeat(11) + "b")).toBe(false);
    // 120 × 25 steps: microseconds. The limit is wide of any machine, and far below what the expression takes.
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});
