import { refuse } from "@mm/optim-core/backend";

/**
 * The key of a tensor in a file: its names, joined by `:`. Within a name `%` is written `%25` and `:` is written `%3A`, so every name
 * comes back as it was. The one key that the format keeps to itself, `__metadata__`, is written `%5F_metadata__`.
 *
 * @throws OptimError `invalid-name` for what is no Unicode text (half of a surrogate pair), which readers in other languages refuse
 */
export function joinKey(...names: readonly string[]): string {
  for (const name of names) {
    if (/\p{Surrogate}/u.test(name)) {
      refuse("invalid-name", "checkpoint", "a name that is Unicode text, without half surrogate pairs", name);
    }
  }
  const key = names.map((name) => name.replaceAll("%", "%25").replaceAll(":", "%3A")).join(":");
  return key === "__metadata__" ? "%5F_metadata__" : key;
}

/** The names of a key. Any percent-encoding is read. @throws OptimError `invalid-state` for what is none */
export function splitKey(key: string): readonly string[] {
  try {
    return key.split(":").map(decodeURIComponent);
  } catch (cause) {
    return refuse("invalid-state", "checkpoint", "keys in which % begins a percent-encoded character", key, {
      cause,
    });
  }
}
