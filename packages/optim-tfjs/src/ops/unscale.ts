import * as tf from "@tensorflow/tfjs-core";
import { operand, type StepScalar } from "../scalar.ts";
import type { Value } from "./value.ts";

/** rescale ÷ loss scale: what raw accumulators are multiplied by. */
export function unscaleFactor(rescale: number, lossScale: StepScalar | undefined): Value {
  if (lossScale === undefined) return rescale;
  return typeof lossScale === "number" ? rescale / lossScale : tf.div(rescale, operand(lossScale));
}
