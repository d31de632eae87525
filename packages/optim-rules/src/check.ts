/** The first reason among them: `check` of a rule returns it as the words of the refusal. */
export function firstReason(...reasons: readonly (string | undefined)[]): string | undefined {
  return reasons.find((reason) => reason !== undefined);
}

type Named = { readonly [name: string]: number | readonly number[] };

/** Refuses values below 0. */
export function atLeastZero(values: Named): string | undefined {
  return reasonWhere(values, (value) => value < 0, "of at least 0");
}

/** Refuses values that are not above 0. */
export function aboveZero(values: Named): string | undefined {
  return reasonWhere(values, (value) => value <= 0, "above 0");
}

/** Refuses values outside [0, 1): decay rates of running averages, which at 1 would never take anything in. */
export function belowOne(values: Named): string | undefined {
  return reasonWhere(values, (value) => value < 0 || value >= 1, "of at least 0 and below 1");
}

/** Refuses values outside [0, 1]. */
export function atMostOne(values: Named): string | undefined {
  return reasonWhere(values, (value) => value < 0 || value > 1, "of at least 0 and at most 1");
}

/** Refuses all but integers from `least` up: counts. */
export function wholeNumbers(values: Named, least: number): string | undefined {
  return reasonWhere(
    values,
    (value) => !Number.isSafeInteger(value) || value < least,
    `an integer of at least ${least}`,
  );
}

function reasonWhere(values: Named, refused: (value: number) => boolean, words: string): string | undefined {
  for (const [name, value] of Object.entries(values)) {
    const list: readonly number[] = typeof value === "number" ? [value] : value;
    const index = list.findIndex(refused);
    if (index >= 0) return `${typeof value === "number" ? name : `${name}[${index}]`} ${words}`;
  }
  return undefined;
}
