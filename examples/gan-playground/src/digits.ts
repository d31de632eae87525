import { type Digits, pixels } from "@mm-examples/gan-digits/digits";
import file from "../data/digits.bin?url";

/** The training digits: one byte a pixel, then one byte a label. */
export async function fetchDigits(): Promise<Digits> {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`The digits could not be fetched: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const count = bytes.length / (pixels + 1);
  return {
    images: Float32Array.from(bytes.subarray(0, count * pixels), (value) => value / 255),
    labels: bytes.subarray(count * pixels),
    count,
  };
}
