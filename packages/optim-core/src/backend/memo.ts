interface Cache<K, T> {
  get(key: K): T | undefined;
  set(key: K, value: T): unknown;
}

/** The value that is cached under `key`, made at first. */
export function memo<K, T>(cache: Cache<K, T>, key: K, make: () => T): T {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const made = make();
  cache.set(key, made);
  return made;
}
