// Hashes that show whether ranks hold the same. They guard against mistakes and broken memory, not against intent.

/** Two lanes of 32 bits over whole words. Each step of a lane is a bijection, so a single word that differs changes both. */
export function hashWords(words: Int32Array): readonly [number, number] {
  let first = 0x811c9dc5 | 0;
  let second = 0x9747b28c | 0;
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] as number;
    first = Math.imul(first ^ word, 16777619);
    second = Math.imul(second ^ word, 0x5bd1e995);
    second = (second << 13) | (second >>> 19);
  }
  return [first, second];
}

/** FNV-1a over UTF-16 units. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 16777619);
  return hash;
}
