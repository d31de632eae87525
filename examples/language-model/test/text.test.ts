import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { mobyDick } from "../src/moby-dick.ts";
import { loadText, piecesFile, textFile } from "../src/load-text.ts";
import { piecesOf } from "../src/text.ts";
import { createTokenizer, learnPieces } from "../src/tokenizer.ts";

const committed = readFileSync(textFile, "utf8");

it("what is committed is what the package and the tokenizer give", { timeout: 300_000 }, () => {
  expect(committed === mobyDick()).toBe(true);
  expect(learnPieces(committed, 512)).toEqual(piecesOf(readFileSync(piecesFile, "utf8")));
});

it("joins the most frequent pair, again and again, inside words", () => {
  // Characters: space, a, b, c. In "ab", " ab", " abc", " c" the pair a b is there three times; then " ab", twice.
  const pieces = learnPieces("ab ab abc c", 6);
  expect(pieces).toEqual([" ", "a", "b", "c", "ab", " ab"]);
  const tokenizer = createTokenizer(pieces);
  expect([...tokenizer.encode("ab abc ba")]).toEqual([4, 5, 3, 0, 2, 1]);
  expect(tokenizer.decode([4, 5, 3, 0, 2, 1])).toBe("ab abc ba");
  expect(() => tokenizer.encode("abd")).toThrow('no token for "d"');
});

it("stops where there is no pair left", () => {
  expect(learnPieces("ab", 9)).toEqual(["a", "b", "ab"]);
});

it("a text and its tokens are the same, and every twentieth part is held out", () => {
  const { tokenizer, training, validation, charactersPerToken } = loadText();
  expect(tokenizer.decode(training) + tokenizer.decode(validation) === committed).toBe(true);
  expect(training.length / (training.length + validation.length)).toBeCloseTo(0.95, 4);
  expect(charactersPerToken * validation.length).toBeCloseTo(tokenizer.decode(validation).length, 6);
  expect(Math.max(...validation)).toBeLessThan(512);
});
