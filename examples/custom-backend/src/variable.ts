import { numpy as np } from "@jax-js/jax";

/** A parameter: jax-js arrays are immutable, so training needs something that holds one array after another. */
export class Variable {
  #array: np.Array;

  /** Takes `array` over, as every function of jax-js does. */
  constructor(array: np.Array) {
    this.#array = array;
  }

  /** The present array, which stays the variable's: pass `variable.array.ref` on. */
  get array(): np.Array {
    return this.#array;
  }

  get shape(): number[] {
    return this.#array.shape;
  }

  /** Puts other values of the same shape into it. */
  assign(data: Float32Array): void {
    const { shape } = this;
    this.#array.dispose();
    this.#array = arrayOf(data, shape);
  }

  dispose(): void {
    this.#array.dispose();
  }
}

/** A copy of `data` as an array. */
export function arrayOf(data: Float32Array, shape: readonly number[]): np.Array {
  // np.array refuses arrays without elements.
  if (data.length === 0) return np.zeros([...shape]);
  return np.array(new Float32Array(data), { shape: [...shape], dtype: np.float32 });
}

/** A copy of an array's elements, which consumes the array. */
export function dataOf(array: np.Array): Float32Array {
  return array.dataSync() as Float32Array;
}
