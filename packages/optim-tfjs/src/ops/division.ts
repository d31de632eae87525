import * as tf from "@tensorflow/tfjs-core";
import { scoped } from "../scope.ts";
import { elementsOf } from "../transfer.ts";
import { select } from "./select.ts";
import { asNumbers, type Constants, type Value } from "./value.ts";

/** Backends whose `tf.div` gives NaN for 0 ÷ 0. That of tfjs-webgl gives 1 wherever the two are equal, ∞ ÷ ∞ too. */
const exact = /* @__PURE__ */ new WeakSet();
/** Backends that were asked. */
const asked = /* @__PURE__ */ new WeakSet();

/** Backends whose results are there when an op returns: they can be asked at once. */
const immediate: ReadonlySet<string> = /* @__PURE__ */ new Set(["cpu", "wasm"]);

/**
 * Asks the active backend for its 0 ÷ 0, once. Where that would wait for a device it does not wait: until the answer is there, {@link divide}
 * takes care itself.
 */
export function learnDivision(): void {
  const backend = tf.backend();
  if (asked.has(backend)) return;
  asked.add(backend);
  const learn = (values: ArrayLike<number>): void => {
    if (Number.isNaN(values[0])) exact.add(backend);
  };
  scoped(() => {
    const quotient = tf.div(tf.scalar(0), tf.scalar(0));
    if (immediate.has(tf.getBackend())) learn(quotient.dataSync());
    // A device that is lost meanwhile has no answer, and needs none.
    else elementsOf(quotient).then(learn, () => {});
  });
}

/** a ÷ b, and NaN for 0 ÷ 0 and ∞ ÷ ∞ on every backend. */
export function divide(a: Value, b: Value, constant: Constants = asNumbers): tf.Tensor {
  const quotient = tf.div(a, b);
  if (exact.has(tf.backend())) return quotient;
  const [zero, one] = [constant(0), constant(1)];
  // 0 × b is NaN where b is infinite, 0 × (1 ÷ b) where it is 0; both are 0 elsewhere, where equal operands make 1.
  const nothing = tf.add(tf.mul(b, zero), tf.mul(tf.div(one, b), zero));
  return select(tf.equal(a, b), tf.add(nothing, one), quotient);
}
