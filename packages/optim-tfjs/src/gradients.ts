import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { checkedVariable } from "./parameters.ts";
import type { StepScalar } from "./scalar.ts";

/**
 * The loss of one micro-batch, from the variables that are trained. Runs in a tidy of its own: what it makes is freed, but for what it
 * returns. Synchronous, and a scalar.
 */
export type TfjsLoss = () => tf.Scalar;

/** The factor of the loss before the backward pass: called once, in a tidy. */
export type Seed = () => number | tf.Scalar;

interface NamedVariable {
  readonly name: string;
  readonly value: tf.Variable;
}

/** `Gradients` of a backend, for whatever stands for a variable. */
export interface VariableGradients<P> {
  /** The closure's own value with `returnLoss`. */
  readonly value: tf.Scalar | undefined;
  readonly gradients: readonly (readonly [variable: P, gradient: tf.Tensor])[];
}

/**
 * Runs the closure and differentiates it. Gradients are the library's, may alias each other and anything else, and are the caller's to
 * dispose. Where it throws, nothing is left behind.
 *
 * @throws OptimError `invalid-loss`, `no-gradient`, `invalid-parameter`; what the closure throws
 */
export function differentiate<P extends NamedVariable>(
  loss: TfjsLoss,
  { parameters, returnLoss }: { readonly parameters: readonly P[]; readonly returnLoss: boolean },
  seed: Seed | undefined,
): VariableGradients<P> {
  for (const { value, name } of parameters)
    checkedVariable(value, `backward: parameter ${JSON.stringify(name)}`);
  let own: tf.Scalar | undefined;
  let returned = false as boolean;
  const scaled = (): tf.Scalar => {
    const value = checkedLoss(loss());
    returned = true;
    if (returnLoss) own = tf.keep(tf.clone(value));
    return seed === undefined ? value : tf.mul(value, seed());
  };
  try {
    const grads = gradientsOf(
      scaled,
      parameters.map(({ value }) => value),
    );
    const gradients = parameters.flatMap((parameter) => {
      const gradient = grads[parameter.value.name];
      return gradient === undefined ? [] : [[parameter, gradient] as const];
    });
    // A new handle, made in the caller's scope: the caller's tidy frees it, if there is one.
    return { value: own === undefined ? undefined : tf.clone(own), gradients };
  } catch (error) {
    freeTape();
    throw returned ? explained(error) : error;
  } finally {
    own?.dispose();
  }
}

interface Scales {
  readonly scale: number;
  readonly lossScale: StepScalar | undefined;
}

/**
 * Where there is a loss scale, it is multiplied in before the backward pass, times `scale`, so that nothing overflows that the window
 * would have made smaller; {@link scaleLeft} is what gradients still lack.
 */
export function seedOf({ scale, lossScale }: Scales): Seed | undefined {
  if (lossScale === undefined) return undefined;
  if (typeof lossScale === "number") return () => scale * lossScale;
  return () => (scale === 1 ? lossScale.tensor : tf.mul(lossScale.tensor, scale));
}

/** The factor of gradients when they are accumulated. */
export function scaleLeft({ scale, lossScale }: Scales): number {
  return lossScale === undefined ? scale : 1;
}

/** Gradients by variable name, each a tensor of its own to dispose. The tidy frees the loss, unless it is one that the caller keeps. */
function gradientsOf(
  scaled: TfjsLoss,
  variables: tf.Variable[],
): { readonly [name: string]: tf.Tensor | undefined } {
  return tf.tidy(() => {
    if (variables.length === 0) {
      scaled();
      return {};
    }
    const { scopeId } = tf.scalar(0);
    const { grads } = tf.variableGrads(scaled, variables);
    const seen = new Set<tf.Tensor>();
    for (const [name, gradient] of Object.entries(grads)) {
      // A custom gradient may give one tensor twice, or one that the caller keeps: it has the scope of where it was made.
      if (seen.has(gradient) || gradient.scopeId !== scopeId) grads[name] = tf.clone(gradient);
      seen.add(gradient);
    }
    return grads;
  });
}

function checkedLoss(value: unknown): tf.Scalar {
  const tensor = value instanceof tf.Tensor ? (value as tf.Tensor) : undefined;
  if (tensor?.shape.length === 0 && tensor.dtype === "float32" && !tensor.isDisposed)
    return tensor as tf.Scalar;
  // It will reject, since its tensors are freed; that is not the error to show.
  if (isPromise(value)) value.then(undefined, () => {});
  return refuse(
    "invalid-loss",
    "backward: loss",
    "a function that returns a float32 scalar tensor",
    tensor === undefined
      ? value
      : `${tensor.isDisposed ? "disposed " : ""}${tensor.dtype} tensor of shape [${tensor.shape.join(", ")}]`,
    { hint: tensor === undefined ? hintForValue(value) : hintForTensor(tensor) },
  );
}

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";

function hintForValue(value: unknown): string {
  if (isPromise(value)) return "Await the data first; the closure itself must be synchronous";
  return value === undefined
    ? "Return the loss: () => loss, or () => { return loss; }"
    : "Return the tensor, not its value. tf functions compute it from the variables";
}

function hintForTensor({ isDisposed, shape, dtype }: tf.Tensor): string {
  if (isDisposed) return "Leave it to be freed: what a closure makes is";
  if (shape.length > 0) return "Reduce it: tf.mean(losses)";
  return `Make it of float32 tensors: ${dtype} has no gradient, and neither has a cast from it`;
}

/** tfjs keeps what it saves for a backward pass. When there is no backward pass, nobody frees it. */
function freeTape(): void {
  const { state } = tf.engine() as unknown as {
    readonly state?: {
      readonly gradientDepth?: number;
      activeTape?: readonly { readonly saved: tf.Tensor[] }[] | null;
    };
  };
  if (state?.gradientDepth !== 0) return;
  for (const { saved } of state.activeTape ?? []) tf.dispose(saved);
  state.activeTape = null;
}

/** The errors of the backward pass, with what to do about them. */
function explained(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message } = error;
  const missing = /gradient function not found for (\w+)/.exec(message)?.[1];
  if (missing !== undefined) {
    const registered = (tf.getGradient("Add") as unknown) !== undefined;
    return new OptimError("no-gradient", `backward: tfjs has no gradient registered for ${missing}`, {
      hint: registered
        ? `This operation has none. Keep it out of the way from the variables to the loss, or give it one with tf.customGrad`
        : `Gradients come with an import: add import "@tensorflow/tfjs-layers" (or "@tensorflow/tfjs"); "@tensorflow/tfjs-core" alone registers none`,
      cause: error,
    });
  }
  if (message.startsWith("Cannot find a connection")) {
    return new OptimError("no-gradient", "backward: loss", {
      expected: "a loss that depends on at least one of the variables",
      hint: "Compute the loss from the variables inside the closure, with tf functions",
      cause: error,
    });
  }
  if (message.includes("not registered for backend")) {
    return new OptimError("no-gradient", `backward: ${message}`, {
      hint: "This backend of tfjs lacks an operation of the backward pass. Use another backend, or another layer",
      cause: error,
    });
  }
  return error;
}
