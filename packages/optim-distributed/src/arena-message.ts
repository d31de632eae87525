import type { AnyOptimizer, NamedTensors } from "@mm/optim-core";

/** A gradient in an array of all of them, as `@mm/optim-wasm` shows it. */
interface GradientPlace {
  readonly name: string;
  readonly view: Float32Array;
  readonly pending: boolean;
}

/** The members that an optimizer on a whole arena of `@mm/optim-wasm` has beside those of every optimizer. */
interface ArenaOptimizer {
  readonly gradientView?: Float32Array | undefined;
  readonly gradientPlaces?: readonly GradientPlace[] | undefined;
}

/** The message that ranks sum where it is: all gradients of an arena, then the rank's weight, then for each parameter whether it has a gradient. */
export class ArenaMessage {
  /** All of it: the arena's own array. */
  readonly buffer: Float32Array;
  /** Weight and presence, which must not be rounded. */
  readonly tail: Float32Array;
  /** Gradients alone, with what lies between them. */
  readonly gradients: Float32Array;
  readonly #places: readonly GradientPlace[];

  constructor(view: Float32Array, places: readonly GradientPlace[]) {
    const end = view.length - 1 - places.length;
    this.buffer = view;
    this.gradients = view.subarray(0, end);
    this.tail = view.subarray(end);
    this.#places = places;
  }

  /** This rank's part: its gradients are there. */
  fill(weight: number): void {
    this.tail[0] = weight;
    for (const [index, { pending }] of this.#places.entries()) this.tail[1 + index] = pending ? 1 : 0;
  }

  /** After the sum: the weight of all ranks. */
  get weight(): number {
    return this.tail[0] as number;
  }

  /** After the sum: takes out the gradients that only other ranks have, as copies. Where this rank has one, the sum is in its place. */
  takeForeign(): NamedTensors | undefined {
    let foreign: Record<string, Float32Array> | undefined;
    for (const [index, { name, view, pending }] of this.#places.entries()) {
      if (pending || this.tail[1 + index] === 0) continue;
      (foreign ??= Object.create(null) as Record<string, Float32Array>)[name] = view.slice();
      view.fill(0);
    }
    return foreign;
  }
}

/** The gradients of an optimizer, where they are one array, to be used at once; the message that it was before, where it is the same array. */
export function arenaMessage(
  optimizer: AnyOptimizer,
  before: ArenaMessage | undefined,
): ArenaMessage | undefined {
  const { gradientView, gradientPlaces } = optimizer as ArenaOptimizer;
  if (gradientView === undefined || gradientPlaces === undefined) return undefined;
  const same = before?.buffer === gradientView && before.tail.length === 1 + gradientPlaces.length;
  return same ? before : new ArenaMessage(gradientView, gradientPlaces);
}

/** Where gradients lie in what is sent, in words that are equal where the places are. */
export function layoutOfGradients(optimizer: AnyOptimizer): string {
  const { gradientView, gradientPlaces } = optimizer as ArenaOptimizer;
  if (gradientView === undefined || gradientPlaces === undefined) return "copies in declared order";
  const from = ({ view }: GradientPlace): number => view.byteOffset - gradientView.byteOffset;
  return JSON.stringify([gradientView.length, gradientPlaces.map(from)]);
}
