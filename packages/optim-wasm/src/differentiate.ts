import { OptimError } from "@mm/optim-core";
import { type GradientRequest, type Gradients, type Parameter, refuse } from "@mm/optim-core/backend";
import type { Storage } from "./storage.ts";

type WasmParameter<V> = Parameter<Float32Array, V, number>;

/** The argument of a loss closure. */
export interface WasmBackward<in Name extends string = string> {
  /**
   * Where the closure puts the gradient of a parameter: zeros at first, private to this call, the same array each time it is asked for.
   * Asking declares that the parameter has a gradient in this call. It is added to what is accumulated when the closure returns, and
   * must not be written after that. Of a frozen parameter the gradient is dropped.
   *
   * @throws OptimError `unknown-parameter`
   */
  readonly grad: (name: Name) => Float32Array;
  /** The seed of the closure's backward pass: the gradients are those of scale × loss (the window, and the loss scale). */
  readonly scale: number;
}

/**
 * A loss closure: computes the loss, and writes its gradients times `scale`. Returns the loss itself, not scaled. Synchronous.
 *
 * ```ts
 * ({ grad, scale }) => {
 *   const error = prediction - target;
 *   grad("bias")[0] = 2 * error * scale;
 *   return error ** 2;
 * };
 * ```
 */
export type WasmLoss<out Name extends string = string> = (backward: WasmBackward<Name>) => number;

/** Parameters by name, as closures ask for them. */
export interface ParameterIndex<V> {
  readonly seen: Map<string, WasmParameter<V>>;
  /** The arrays of all parameters, frozen ones included. */
  readonly arrays: ReadonlyMap<string, Float32Array>;
}

/**
 * Runs a closure. Everything that it can ask for has room before it runs, so that no array is detached under its hands. While nothing is pending,
 * the accumulator itself is what it writes to: should it throw, nothing is pending still.
 */
export function differentiate<V>(
  storage: Storage<V>,
  index: ParameterIndex<V>,
  loss: WasmLoss,
  { parameters, scale, lossScale = 1, returnLoss }: GradientRequest<Float32Array, V, number>,
): Gradients<number, Float32Array, V, V, number> {
  storage.reserve(parameters.filter(({ accumulator, pending }) => pending || accumulator === undefined));
  const gradients = new Map<WasmParameter<V>, V>();
  const views = new Map<string, Float32Array>();
  let running = true;

  const make = (name: string): Float32Array => {
    if (!index.seen.has(name)) for (const parameter of parameters) index.seen.set(parameter.name, parameter);
    const parameter = index.seen.get(name);
    if (parameter === undefined || parameter.frozen) return dropped(name, index.arrays);
    const { accumulator, pending } = parameter;
    const reused = pending ? undefined : accumulator;
    const place = accumulator === undefined ? storage.gradientPlace?.(parameter) : undefined;
    const gradient = reused ?? place ?? storage.allocate(parameter, 0);
    gradients.set(parameter, gradient);
    const view = storage.view(gradient);
    if (reused !== undefined || place !== undefined) view.fill(0);
    return view;
  };
  const grad = (name: string): Float32Array => {
    if (!running) {
      throw new OptimError("invalid-loss", "backward: grad", {
        expected: "calls while the closure runs",
        hint: "Is it asynchronous? Do what waits before the backward",
      });
    }
    let view = views.get(name);
    if (view === undefined) views.set(name, (view = make(name)));
    return view;
  };

  try {
    const value: unknown = loss({ grad, scale: scale * lossScale });
    if (typeof value !== "number") throw noNumber(value);
    return { value: returnLoss ? value : undefined, gradients: [...gradients] };
  } catch (error) {
    for (const [parameter, gradient] of gradients) {
      if (gradient === parameter.accumulator) storage.view(gradient).fill(0);
      else storage.release(gradient);
    }
    throw error;
  } finally {
    running = false;
  }
}

function noNumber(value: unknown): OptimError {
  const isPromise = typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
  // It may reject, since `grad` is over when it goes on; that is not the error to show.
  if (isPromise) (value as PromiseLike<unknown>).then(undefined, () => {});
  return new OptimError("invalid-loss", "backward: loss", {
    expected: "a closure that returns the loss, a number",
    received: value,
    ...(isPromise && { hint: "Await the data first; the closure itself must be synchronous" }),
  });
}

function dropped(name: string, arrays: ReadonlyMap<string, Float32Array>): Float32Array {
  const length = arrays.get(name)?.length;
  if (length !== undefined) return new Float32Array(length);
  return refuse("unknown-parameter", "backward: grad", `one of ${[...arrays.keys()].join(", ")}`, name);
}
