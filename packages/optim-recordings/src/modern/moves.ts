import { type Checks } from "../checks.ts";
import { decode, type GoldenTensor } from "../format.ts";

/** ‖ours − theirs‖ ÷ ‖theirs‖ of one update of Muon in float32 and in bfloat16: its largest, and the median over the steps. */
const [largest, median] = [0.18, 0.09];

/**
 * Updates of Muon, held to updates that were computed in bfloat16, whose single elements mean nothing: an update's relative distance as a whole. A
 * distance of 0.17 is the most that was measured between the authors' two precisions, 0.03 to 0.08 its medians; other coefficients, steps or scales are
 * further off.
 */
export class Moves {
  readonly #before: { [side in "ours" | "theirs"]: Map<string, Float32Array> };
  readonly #distances = new Map<string, number[]>();

  constructor(init: Readonly<Record<string, GoldenTensor>>) {
    const begin = (): Map<string, Float32Array> =>
      new Map(Object.entries(init).map(([name, { data }]) => [name, decode(data)]));
    this.#before = { ours: begin(), theirs: begin() };
  }

  /** Takes what a parameter is after a step. */
  note(name: string, ours: Float32Array, theirs: Float32Array): void {
    const move = (side: "ours" | "theirs", after: Float32Array): Float32Array => {
      const before = this.#before[side].get(name) as Float32Array;
      this.#before[side].set(name, after.slice());
      return after.map((x, index) => x - (before[index] as number));
    };
    const [mine, other] = [move("ours", ours), move("theirs", theirs)];
    const size = Math.hypot(...other);
    const apart = Math.hypot(...mine.map((x, index) => x - (other[index] as number)));
    const list = this.#distances.get(name) ?? [];
    // Where nothing moved ours must not move either.
    list.push(size === 0 ? apart : apart / size);
    this.#distances.set(name, list);
  }

  /** Adds what came of it to the checks. */
  check(checks: Checks): void {
    for (const [name, distances] of this.#distances) {
      for (const [index, distance] of distances.entries()) {
        const fine = distance <= largest;
        checks.note(`steps[${index}].update.${name}`, fine ? undefined : tooFar(distance, largest));
      }
      const middle = [...distances].sort((a, b) => a - b)[Math.floor(distances.length / 2)] ?? 0;
      checks.note(`update.${name}: median`, middle <= median ? undefined : tooFar(middle, median));
    }
  }
}

const tooFar = (distance: number, allowed: number): string =>
  `expected a relative distance of at most ${allowed}, got ${distance}`;
