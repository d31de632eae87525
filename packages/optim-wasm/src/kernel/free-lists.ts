/** Addresses that were given back, by the size of what was there. */
export class FreeLists {
  readonly #pointers = new Map<number, number[]>();

  take(size: number): number | undefined {
    return this.#pointers.get(size)?.pop();
  }

  give(pointer: number, size: number): void {
    const pointers = this.#pointers.get(size);
    if (pointers === undefined) this.#pointers.set(size, [pointer]);
    else pointers.push(pointer);
  }

  /** Those of the sizes for which there is nothing here. */
  lacking(sizes: readonly number[]): readonly number[] {
    const left = new Map([...this.#pointers].map(([size, pointers]) => [size, pointers.length]));
    return sizes.filter((size) => {
      const count = left.get(size) ?? 0;
      if (count > 0) left.set(size, count - 1);
      return count === 0;
    });
  }
}
