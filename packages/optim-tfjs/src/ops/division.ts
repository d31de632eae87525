import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "../scope.ts";

/** What an operation takes: a number is a scalar of float32. */
export type Value = number | tf.Tensor;

/** Backends whose `tf.div` gives NaN for 0 ÷ 0. That of tfjs-webgl gives 1 wherever the two are equal, ∞ ÷ ∞ too. */
const exact = /* @__PURE__ */ new WeakSet();

/** Asks the active backend for its 0 ÷ 0, and does not wait for the answer: until it is there, {@link divide} takes care itself. */
export function learnDivision(): void {
  const backend = tf.backend();
  if (exact.has(backend)) return;
  const answer = scoped(() => tf.div(tf.scalar(0), tf.scalar(0)).data());
  const learn = (values: ArrayLike<number>): void => {
    if (Number.isNaN(values[0])) exact.add(backend);
  };
  // A device that is lost meanwhile has no answer, and needs none.
  answer.then(learn, () => {});
}

/** a ÷ b, and NaN for 0 ÷ 0 and ∞ ÷ ∞ on every backend. */
export function divide(a: Value, b: Value): tf.Tensor {
  const quotient = tf.div(a, b);
  if (exact.has(tf.backend())) return quotient;
  // 0 × b is NaN where b is infinite, 0 × (1 ÷ b) where it is 0; both are 0 elsewhere, where equal operands make 1.
  const nothing = tf.add(tf.mul(b, 0), tf.mul(tf.div(1, b), 0));
  return tf.where(tf.equal(a, b), tf.add(nothing, 1), quotient);
}
