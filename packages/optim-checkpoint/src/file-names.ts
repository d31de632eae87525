import { refuse } from "@mm/optim-core/backend";

/** The name of the checkpoint of that number: six digits, more where it takes more. */
const nameOf = (number: bigint): string => `checkpoint-${String(number).padStart(6, "0")}.safetensors`;

/** The number of the checkpoint whose file has that name, if it is one. It has as many digits as it needs, so no number is the last. */
export function numberOf(name: string): bigint | undefined {
  const digits = /^checkpoint-(\d{6}|[1-9]\d{6,})\.safetensors$/.exec(name)?.[1];
  return digits === undefined ? undefined : BigInt(digits);
}

/** Those of the names that are checkpoints by number, newest first. */
export function newestFirst(names: readonly string[]): readonly string[] {
  return names
    .flatMap((name) => {
      const number = numberOf(name);
      return number === undefined ? [] : [{ name, number }];
    })
    .sort((a, b) => (a.number < b.number ? 1 : -1))
    .map(({ name }) => name);
}

/** The name after all that are taken. Where upper and lower case are one, such a name is taken too. */
export function nextName(taken: readonly string[]): string {
  const [newest] = newestFirst(taken.map((name) => name.toLowerCase()));
  return nameOf(newest === undefined ? 1n : (numberOf(newest) as bigint) + 1n);
}

/** Refuses anything but the name of a file in the folder itself. @throws OptimError `invalid-name` */
export function requireFileName(name: unknown, who: string): asserts name is string {
  // A colon is part of a path on Windows, and NUL ends one everywhere.
  if (typeof name === "string" && /^[^/\\:\0]+$/.test(name) && name !== "." && name !== "..") return;
  refuse("invalid-name", who, "the name of a file in the folder, without a path", name);
}

/**
 * The file of a checkpoint that a person names.
 *
 * @throws OptimError `invalid-name` for a path, and for a name that checkpoints have by their number
 */
export function fileNamed(name: unknown, who: string): string {
  requireFileName(name, who);
  const file = name.endsWith(ending) ? name : name + ending;
  if (numberOf(file.toLowerCase()) !== undefined)
    refuse("invalid-name", who, "a name that is not that of a numbered checkpoint", name);
  return file;
}

const ending = ".safetensors";
