import type * as tf from "@tensorflow/tfjs-core";

/** An operand of an operation: a number is a scalar of float32. */
export type Value = number | tf.Tensor;

/** How operations get the numbers that they need. */
export type Constants = (value: number) => Value;

/** The numbers themselves: tfjs makes a tensor of each, at each use. */
export const asNumbers: Constants = (value) => value;
