// Plain data as text and one array of numbers, to the bit: states are sent so.

/** `value` as text, with its tensors apart. */
export function encodePlain(value: unknown): {
  readonly text: string;
  readonly tensors: readonly Float32Array[];
} {
  const tensors: Float32Array[] = [];
  const tagged = (item: unknown): unknown => {
    if (item instanceof Float32Array) return ["tensor", tensors.push(item) - 1, item.length];
    if (Array.isArray(item)) return ["array", ...item.map(tagged)];
    // JSON has no infinities, no NaN and no -0.
    if (typeof item === "number")
      return JSON.stringify(item) === String(item) && !Object.is(item, -0)
        ? item
        : ["number", Object.is(item, -0) ? "-0" : String(item)];
    if (Object(item) !== item) return item;
    return Object.fromEntries(Object.entries(item as object).map(([name, inner]) => [name, tagged(inner)]));
  };
  return { text: JSON.stringify(tagged(value)), tensors };
}

/** @param numbers the tensors of {@link encodePlain}, one after the other; the result has views of it */
export function decodePlain(text: string, numbers: Float32Array): unknown {
  let end = 0;
  const untagged = (item: unknown): unknown => {
    if (Array.isArray(item)) {
      const [tag, ...rest] = item as [string, ...unknown[]];
      if (tag === "array") return rest.map(untagged);
      if (tag === "number") return Number(rest[0]);
      const from = end;
      end += rest[1] as number;
      return numbers.subarray(from, end);
    }
    if (Object(item) !== item) return item;
    return Object.fromEntries(Object.entries(item as object).map(([name, inner]) => [name, untagged(inner)]));
  };
  return untagged(JSON.parse(text));
}
