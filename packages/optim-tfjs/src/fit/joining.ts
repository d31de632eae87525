import * as tf from "@tensorflow/tfjs-core";
import { differentiate, type TfjsLoss } from "../gradients.ts";

/** A loss that was differentiated before its optimizer knew all variables that it reaches. */
export interface FoundGradients {
  /** The loss itself, where it was asked for. */
  readonly value: tf.Scalar | undefined;
  readonly gradients: readonly (readonly [tf.Variable, tf.Tensor])[];
}

/** Runs the loss once. Its gradients are the caller's to dispose, and so is its value. @throws OptimError as `differentiate` */
export function findGradients(
  loss: TfjsLoss,
  variables: readonly tf.Variable[],
  returnLoss: boolean,
): FoundGradients {
  const parameters = variables.map((value) => ({ name: value.name, value }));
  const { value, gradients } = differentiate(loss, { parameters, returnLoss }, undefined);
  return { value, gradients: gradients.map(([parameter, gradient]) => [parameter.value, gradient]) };
}

/**
 * A loss for an optimizer that does not have the variables `strangers`. If it reaches one of them, `loss` throws this object in place
 * of a value, and `found` has the gradients of all: nothing has changed then, and the closure has run once.
 */
export class JoiningLoss extends Error {
  found: FoundGradients | undefined;
  readonly loss: TfjsLoss;

  constructor(
    loss: TfjsLoss,
    strangers: readonly tf.Variable[],
    known: readonly tf.Variable[],
    returnLoss: boolean,
  ) {
    super("a variable joins");
    this.loss = () => {
      const value: unknown = loss();
      if (!isScalar(value)) return value as tf.Scalar;
      const reached = reachedBy(value, strangers);
      if (reached.length === 0) return value;
      const found = findGradients(() => value, [...known, ...reached], returnLoss);
      // They outlive the closure's tidy.
      for (const tensor of [found.value, ...found.gradients.map(([, gradient]) => gradient)])
        if (tensor !== undefined) tf.keep(tensor);
      this.found = found;
      throw this;
    };
  }
}

const isScalar = (value: unknown): value is tf.Scalar =>
  value instanceof tf.Tensor && !value.isDisposed && value.rank === 0 && value.dtype === "float32";

/** The variables that a value depends on, on the tape of the closure that made it. Those that it does not reach cost no kernel. */
function reachedBy(value: tf.Scalar, variables: readonly tf.Variable[]): readonly tf.Variable[] {
  return tf.tidy(() => {
    const { grads } = tf.engine().gradients(() => value, [...variables], undefined, true);
    return { reached: variables.filter((_, index) => (grads[index] as tf.Tensor | null) !== null) };
  }).reached;
}

/** A loss of gradients that are there already. If it is asked again (sharpness-aware steps do), `loss` runs. */
export function lossOf({ value, gradients }: FoundGradients, loss?: TfjsLoss): TfjsLoss {
  const fixed = tf.customGrad<tf.Scalar>(() => ({
    value: value === undefined ? tf.scalar(0) : tf.clone(value),
    gradFunc: (seed) => gradients.map(([, gradient]) => tf.mul(gradient, seed)),
  }));
  let calls = 0;
  return () => {
    calls += 1;
    return calls > 1 && loss !== undefined ? loss() : fixed(...gradients.map(([variable]) => variable));
  };
}
