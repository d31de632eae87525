import "@tensorflow/tfjs-backend-webgl";
import * as tf from "@tensorflow/tfjs-core";
import { use } from "../backends.ts";

/** tfjs-webgl as on a device that renders no float32: all that tfjs draws is half floats. Of this page, once and for all. */
export async function useHalfFloats(): Promise<void> {
  tf.env().set("WEBGL_FORCE_F16_TEXTURES", true);
  await use({ backend: "webgl" });
  if (tf.env().getBool("WEBGL_RENDER_FLOAT32_ENABLED")) throw new Error("float32 is rendered");
}

/** The nearest number that float16 holds, below 65504 (IEEE 754, binary16): 11 bits, and no unit below 2⁻²⁴. Of two the even one. */
export function half(value: number): number {
  const unit = 2 ** Math.max(Math.floor(Math.log2(Math.abs(value))) - 10, -24);
  const units = value / unit;
  const down = Math.floor(units);
  const up = units - down > 0.5 || (units - down === 0.5 && down % 2 !== 0);
  return (down + Number(up)) * unit;
}

/** Multiples of 1/64 in [−1, 1), which float16 holds. */
export function halfArray(random: () => number, length: number): Float32Array {
  return Float32Array.from({ length }, () => Math.floor(128 * random()) / 64 - 1);
}
