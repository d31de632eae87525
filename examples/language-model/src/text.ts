import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

export interface Text {
  readonly tokenizer: Tokenizer;
  /** The first 95 % of the tokens. */
  readonly training: Uint16Array;
  /** The rest, which nothing trains on. */
  readonly validation: Uint16Array;
  /** Characters of the validation text for each of its tokens. */
  readonly charactersPerToken: number;
}

/** A text as tokens. `pieces` is a JSON string a line. */
export function textOf(text: string, pieces: string): Text {
  const tokenizer = createTokenizer(piecesOf(pieces));
  const tokens = tokenizer.encode(text);
  const border = Math.floor(0.95 * tokens.length);
  const validation = tokens.subarray(border);
  const charactersPerToken = tokenizer.decode(validation).length / validation.length;
  return { tokenizer, training: tokens.subarray(0, border), validation, charactersPerToken };
}

export const piecesOf = (lines: string): readonly string[] =>
  lines
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as string);
