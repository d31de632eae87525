import type { NamedParameter, Parameter } from "@mm/optim-core/backend";
import type { Storage } from "./storage.ts";

type WasmParameter<V> = Parameter<Float32Array, V, number>;

/** A gradient in an array of all of them. */
export interface GradientPlace {
  /** Of its parameter. */
  readonly name: string;
  /** Its elements. */
  readonly view: Float32Array;
  /** Whether it is pending now. Otherwise the parameter has none. */
  readonly pending: boolean;
}

/**
 * Keeps the accumulators of an optimizer on an arena beside each other, and zeros where there is no gradient. Elsewhere there is nothing to
 * keep.
 */
export class GradientPlaces<V> {
  readonly #storage: Storage<V>;
  /** Those that have an accumulator, or are about to, by name. */
  readonly #parameters = new Map<string, WasmParameter<V>>();
  /** Those whose place holds something else than zeros. */
  readonly #written = new Set<WasmParameter<V>>();
  /** Parameters of this optimizer, seen or not. */
  readonly #admitted: NamedParameter<Float32Array>[] = [];
  #places: readonly GradientPlace[] = [];

  constructor(storage: Storage<V>) {
    this.#storage = storage;
  }

  /** Notes parameters that were added. */
  admit(added: readonly NamedParameter<Float32Array>[]): void {
    if (this.#storage.gradientPlace !== undefined) this.#admitted.push(...added);
  }

  /** Notes a parameter that has an accumulator, or is about to get one. */
  see(parameter: WasmParameter<V>): void {
    if (this.#storage.gradientPlace !== undefined) this.#parameters.set(parameter.name, parameter);
  }

  /** Puts accumulators in their places that loads and writes have made elsewhere. */
  settle(): void {
    for (const parameter of this.#parameters.values()) this.#move(parameter);
  }

  /** Notes the gradients of a backward, and has places that are not among them hold zeros, but where a gradient is pending. */
  take(gradients: readonly (readonly [parameter: WasmParameter<V>, gradient: V])[]): void {
    if (this.#storage.gradientPlace === undefined) return;
    for (const [parameter] of gradients) this.#written.delete(parameter);
    this.#clear();
    for (const [parameter] of gradients) {
      this.see(parameter);
      this.#written.add(parameter);
    }
  }

  /** Notes that a vector was written, by a load or a person. */
  note(vector: V): void {
    if (this.#storage.isGradientPlace?.(vector) === true) this.#soil();
  }

  /** All accumulators in one array, where this optimizer has all of an arena. */
  view(): Float32Array | undefined {
    const gradients = this.#storage.gradients?.();
    if (gradients === undefined) return undefined;
    this.settle();
    this.#clear();
    return gradients;
  }

  /** The places in that array, in the order in which parameters were added. The same ones until one is added. */
  list(): readonly GradientPlace[] | undefined {
    if (this.#storage.gradients?.() === undefined) return undefined;
    if (this.#places.length !== this.#admitted.length) {
      this.#places = this.#admitted.map((parameter) => this.#placeOf(parameter));
    }
    return this.#places;
  }

  #placeOf(parameter: NamedParameter<Float32Array>): GradientPlace {
    const { name } = parameter;
    const seen = this.#parameters;
    return Object.freeze({
      name,
      view: this.#storage.view(this.#storage.gradientPlace?.(parameter) as V),
      get pending(): boolean {
        return seen.get(name)?.pending ?? false;
      },
    });
  }

  #move(parameter: WasmParameter<V>): void {
    const { accumulator } = parameter;
    if (accumulator === undefined || this.#storage.isGradientPlace?.(accumulator) === true) return;
    const place = this.#storage.gradientPlace?.(parameter);
    if (place === undefined) return;
    this.#storage.view(place).set(this.#storage.view(accumulator));
    this.#storage.release(accumulator);
    parameter.accumulator = place;
    this.#written.add(parameter);
  }

  #soil(): void {
    for (const parameter of this.#parameters.values()) this.#written.add(parameter);
  }

  #clear(): void {
    for (const parameter of this.#written) {
      if (parameter.pending) continue;
      if (parameter.accumulator !== undefined) this.#storage.view(parameter.accumulator).fill(0);
      this.#written.delete(parameter);
    }
  }
}
