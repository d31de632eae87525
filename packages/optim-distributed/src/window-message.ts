import type { NamedTensors, ParameterInfo } from "@mm/optim-core";
import { lengthOf } from "@mm/optim-core/backend";

/**
 * The message that ranks sum at the end of a window, in one buffer: gradients in declared order, absent ones as zeros, then the rank's weight, then for
 * each parameter whether it has a gradient. Weights are float32 sums: exact for whole numbers up to 2²⁴ a window.
 */
export class WindowMessage {
  /** All of it. */
  readonly buffer: Float32Array;
  /** Weight and presence, which must not be rounded. */
  readonly tail: Float32Array;
  /** Gradients alone. */
  readonly gradients: Float32Array;
  readonly #names: readonly string[];
  readonly #views: readonly Float32Array[];

  constructor(parameters: readonly ParameterInfo[]) {
    const lengths = parameters.map(({ shape }) => lengthOf(shape));
    const total = lengths.reduce((sum, length) => sum + length, 0);
    this.buffer = new Float32Array(total + 1 + parameters.length);
    this.gradients = this.buffer.subarray(0, total);
    this.tail = this.buffer.subarray(total);
    this.#names = parameters.map(({ name }) => name);
    let end = 0;
    this.#views = lengths.map((length) => this.buffer.subarray(end, (end += length)));
  }

  /** How many parameters it has room for. */
  get count(): number {
    return this.#names.length;
  }

  /** This rank's part. */
  fill(gradients: NamedTensors, weight: number): void {
    this.tail[0] = weight;
    for (const [index, name] of this.#names.entries()) {
      const gradient = gradients[name];
      const view = this.#views[index] as Float32Array;
      if (gradient === undefined) view.fill(0);
      else view.set(gradient);
      this.tail[1 + index] = gradient === undefined ? 0 : 1;
    }
  }

  /** After the sum: the weight of all ranks. */
  get weight(): number {
    return this.tail[0] as number;
  }

  /** After the sum: the gradients that some rank has, as views. */
  present(): NamedTensors {
    const present = Object.create(null) as Record<string, Float32Array>;
    for (const [index, name] of this.#names.entries()) {
      if ((this.tail[1 + index] as number) > 0) present[name] = this.#views[index] as Float32Array;
    }
    return present;
  }
}
