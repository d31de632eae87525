import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "../scope.ts";
import { elementsOf } from "../transfer.ts";
import { pNorm } from "./arithmetic.ts";

/** The 2-norm of each tensor as of the call: two numbers each are read, whose product may be beyond float32. Waits for the device. */
export async function readNorms(tensors: readonly tf.Tensor[]): Promise<readonly number[]> {
  if (tensors.length === 0) return [];
  const factors = await scoped(() =>
    elementsOf(tf.stack(tensors.map((tensor) => pNorm([tensor], 2).factors))),
  );
  return tensors.map((_, index) => (factors[2 * index] as number) * (factors[2 * index + 1] as number));
}
