/**
 * The parameters that hold an evaluation point now, whichever optimizer put it there: of a backend, by identity. Objects are known whatever the
 * backend.
 */
class MarkedParameters {
  readonly #objects = new WeakSet();
  readonly #names = new Set<string>();
  /** As long as it is 0, nobody looks. */
  #count = 0;

  hasAny(backend: string, parameters: readonly { readonly identity: unknown }[]): boolean {
    if (this.#count === 0) return false;
    return parameters.some(({ identity }) =>
      isObject(identity) ? this.#objects.has(identity) : this.#names.has(nameOf(backend, identity)),
    );
  }

  add(backend: string, identities: readonly unknown[]): void {
    this.#count += 1;
    for (const identity of identities) {
      if (isObject(identity)) this.#objects.add(identity);
      else this.#names.add(nameOf(backend, identity));
    }
  }

  delete(backend: string, identities: readonly unknown[]): void {
    this.#count -= 1;
    for (const identity of identities) {
      if (isObject(identity)) this.#objects.delete(identity);
      else this.#names.delete(nameOf(backend, identity));
    }
  }
}

const isObject = (identity: unknown): identity is object => Object(identity) === identity;
const nameOf = (backend: string, identity: unknown): string => `${backend} ${String(identity)}`;

export const markedParameters: MarkedParameters = /* @__PURE__ */ new MarkedParameters();
