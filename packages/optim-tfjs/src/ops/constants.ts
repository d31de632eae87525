import * as tf from "@tensorflow/tfjs-core";
import type { Constants, Value } from "./value.ts";

/**
 * Runs a step with one scalar tensor per number, which all its operations share: on a GPU each number that an operation is given is an
 * upload and a draw of its own.
 */
export function withConstants<T>(run: (constant: Constants) => T): T {
  const made = new Map<number, tf.Scalar>();
  const constant = (value: number): Value => {
    // A map knows one zero.
    if (Object.is(value, -0)) return value;
    let scalar = made.get(value);
    if (scalar === undefined) made.set(value, (scalar = tf.keep(tf.scalar(value))));
    return scalar;
  };
  try {
    return run(constant);
  } finally {
    for (const scalar of made.values()) scalar.dispose();
  }
}
