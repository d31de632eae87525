import { type GradientRequest, type Gradients, refuse } from "@mm/optim-core/backend";
import { aString, checkSchema, type Test } from "@mm/optim-core/schema";
import { copyGradients as copy, type CopyOptions, type HostGradients } from "../copy-gradients.ts";
import { aDevice } from "../device.ts";
import { differentiate, type WebgpuLoss } from "../differentiate.ts";
import { EngineCore, type EngineMembers, type EngineOptions } from "../engine.ts";
import type { StepScalar } from "../loss-scaler.ts";
import type { ParameterPort } from "../port.ts";
import type { Vector, WebgpuBinding } from "../storage.ts";

/** The result of {@link createEngine}. */
export interface WebgpuEngine<P> {
  /**
   * All members of an `Engine` of `@mm/optim-core/backend` but `differentiate` (and `named`, `isFrozen` and `context`, where a host library
   * has them). Spread it, and add these.
   */
  members(): EngineMembers<P>;
  /**
   * The factor of a loss before it is differentiated, scale × loss scale: one float32 with the usages STORAGE and UNIFORM at offset 0
   * of its buffer. Always this binding; the value is right when commands run that are enqueued in a backward.
   */
  readonly seed: WebgpuBinding;
  /** Submits what was held back for a step: see {@link CopyOptions.mayHold}. */
  flush(): void;
  /** Frees everything. For an optimizer whose construction failed; one that was made does it in its own `dispose()`. */
  dispose(): void;
}

/**
 * The engine of this package for parameters of another kind: vectors, kernels, state, loss scaling and reads on the caller's device, in place
 * on parameters that are reached through a port. Nothing waits for the device but reads.
 *
 * ```ts
 * const engine = createEngine({ backend: "mylib", device, port });
 * const optimizer = createOptimizer(
 *   "mylibOptimizer",
 *   { ...engine.members(), differentiate: (loss, request) => recordGradients(engine, loss, request) },
 *   rule,
 *   parameters,
 * );
 * ```
 *
 * All optimizers on one device share its queue in the order of their calls, whatever backend they belong to. Two copies of this package do
 * not know of each other: make it a peer or a single dependency.
 *
 * @throws OptimError `invalid-option`, `unknown-option`, `device-lost`
 */
export function createEngine<P>(options: EngineOptions<P>): WebgpuEngine<P> {
  const where = "createEngine: options";
  checkSchema("invalid-option", where, options, {
    fields: { backend: aString, device: aDevice, port: aPort },
  });
  return new EngineCore(options);
}

const aPort: Test = [
  (value: unknown) => {
    const { describe, resolve, moves } = Object(value) as Partial<ParameterPort<unknown>>;
    return [typeof describe, typeof resolve, typeof moves].join() === "function,function,boolean";
  },
  "a ParameterPort, { describe, resolve, moves }",
];

/**
 * The backward of a closure that records its own passes, as `webgpuOptimizer` has it: the closure writes gradients into ranges that it is
 * given, which are zeros at first. Call it from `Engine.differentiate`.
 *
 * @param engine of {@link createEngine}, of this copy of the package
 * @throws OptimError `invalid-loss`, `unknown-parameter`, `device-lost`, `invalid-option` for another engine; and whatever the closure throws
 */
export function recordGradients<P>(
  engine: WebgpuEngine<P>,
  loss: WebgpuLoss,
  request: GradientRequest<P, Vector, StepScalar>,
): Gradients<undefined, P, Vector, Vector, StepScalar> {
  return differentiate(coreOf(engine, "recordGradients"), loss, request);
}

/**
 * The backward of a host library that has gradients in buffers of its own: they are copied on the device, and the library may use its memory
 * again. Call it from `Engine.differentiate`.
 *
 * @param engine of {@link createEngine}, of this copy of the package
 * @param run differentiates, with the loss multiplied by the number in `seed`; without a seed, by 1. Where it throws, it leaves nothing behind
 * @throws OptimError `device-lost`, `invalid-option` for another engine; and whatever `run` throws
 */
export function copyGradients<P, Value>(
  engine: WebgpuEngine<P>,
  request: GradientRequest<P, Vector, StepScalar>,
  run: (seed: WebgpuBinding | undefined) => HostGradients<P, Value>,
  options: CopyOptions = {},
): Gradients<Value, P, Vector, Vector, StepScalar> {
  return copy(coreOf(engine, "copyGradients"), request, run, options);
}

function coreOf<P>(engine: WebgpuEngine<P>, call: string): EngineCore<P> {
  if (engine instanceof EngineCore) return engine as EngineCore<P>;
  return refuse(
    "invalid-option",
    `${call}: engine`,
    "what createEngine gave, of this copy of @mm/optim-webgpu",
    engine,
  );
}
