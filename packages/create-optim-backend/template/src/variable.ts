/**
 * A parameter. Yours is your library's: whatever stays the same object while training changes its elements. A library whose arrays are
 * immutable needs a class like this one around them.
 */
export class Variable {
  /** Row-major. */
  readonly data: Float32Array;
  readonly shape: readonly number[];

  /** Keeps `data`: a step writes into it. */
  constructor(data: Float32Array, shape: readonly number[] = [data.length]) {
    this.data = data;
    this.shape = shape;
  }
}
