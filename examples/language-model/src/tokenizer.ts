/** Text as numbers: byte-pair encoding (Sennrich et al., arXiv:1508.07909) of characters, inside words. */
export interface Tokenizer {
  /** The texts of all tokens, by number. Those of one character come first; each other is made of two before it. */
  readonly pieces: readonly string[];
  /** @throws RangeError for a character that is no piece */
  encode(text: string): Uint16Array;
  decode(tokens: Iterable<number>): string;
}

/** A word with the space before it, line ends, or what stands between: no token reaches over their borders. */
const words = / ?[A-Za-z]+|\n+| ?[^A-Za-z\n]+?(?= ?[A-Za-z\n]|$)/g;

export function createTokenizer(pieces: readonly string[]): Tokenizer {
  const numbers = new Map(pieces.map((piece, number) => [piece, number]));
  const known = new Map<string, readonly number[]>();
  const encodeWord = (word: string): readonly number[] => {
    const parts = Array.from(word);
    for (;;) {
      // Of all neighbours that are a piece together those whose piece was made first.
      let [first, place] = [Infinity, 0];
      for (let at = 1; at < parts.length; at++) {
        const number = numbers.get(`${parts[at - 1]}${parts[at]}`) ?? Infinity;
        if (number < first) [first, place] = [number, at - 1];
      }
      if (first === Infinity) break;
      parts.splice(place, 2, pieces[first]!);
    }
    return parts.map((part) => {
      const number = numbers.get(part);
      if (number === undefined) throw new RangeError(`no token for ${JSON.stringify(part)}`);
      return number;
    });
  };
  return {
    pieces,
    encode(text) {
      const tokens: number[] = [];
      for (const [word] of text.matchAll(words)) {
        const encoded = known.get(word) ?? encodeWord(word);
        known.set(word, encoded);
        tokens.push(...encoded);
      }
      return Uint16Array.from(tokens);
    },
    decode: (tokens) => Array.from(tokens, (token) => pieces[token] ?? "").join(""),
  };
}

/** The pieces of a text: its characters, then again and again the pair of neighbours that is most frequent, up to `count` pieces. */
export function learnPieces(text: string, count: number): readonly string[] {
  const pieces = [...new Set(text)].sort();
  const numbers = new Map(pieces.map((piece, number) => [piece, number]));
  const frequencies = new Map<string, number>();
  for (const [word] of text.matchAll(words)) frequencies.set(word, (frequencies.get(word) ?? 0) + 1);
  const splits = Array.from(frequencies, ([word, frequency]) => ({
    parts: Array.from(word, (character) => numbers.get(character)!),
    frequency,
  }));
  while (pieces.length < count) {
    const pairs = new Map<number, number>();
    for (const { parts, frequency } of splits) {
      for (let at = 1; at < parts.length; at++) {
        const pair = parts[at - 1]! * count + parts[at]!;
        pairs.set(pair, (pairs.get(pair) ?? 0) + frequency);
      }
    }
    let [best, most] = [-1, 0];
    for (const [pair, frequency] of pairs) if (frequency > most) [best, most] = [pair, frequency];
    if (best < 0) break;
    const [left, right] = [Math.floor(best / count), best % count];
    for (const { parts } of splits) {
      for (let at = parts.indexOf(left); at >= 0; at = parts.indexOf(left, at + 1))
        if (parts[at + 1] === right) parts.splice(at, 2, pieces.length);
    }
    pieces.push(`${pieces[left]}${pieces[right]}`);
  }
  return pieces;
}
