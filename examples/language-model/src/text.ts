import { readFileSync } from "node:fs";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

export const textFile = /* @__PURE__ */ new URL("../data/moby-dick.txt", import.meta.url);
export const piecesFile = /* @__PURE__ */ new URL("../data/pieces.txt", import.meta.url);

export interface Text {
  readonly tokenizer: Tokenizer;
  /** The first 95 % of the tokens. */
  readonly training: Uint16Array;
  /** The rest, which nothing trains on. */
  readonly validation: Uint16Array;
  /** Characters of the validation text for each of its tokens. */
  readonly charactersPerToken: number;
}

export function readPieces(): readonly string[] {
  const lines = readFileSync(piecesFile, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as string);
}

export function loadText(): Text {
  const tokenizer = createTokenizer(readPieces());
  const tokens = tokenizer.encode(readFileSync(textFile, "utf8"));
  const border = Math.floor(0.95 * tokens.length);
  const validation = tokens.subarray(border);
  const charactersPerToken = tokenizer.decode(validation).length / validation.length;
  return { tokenizer, training: tokens.subarray(0, border), validation, charactersPerToken };
}
