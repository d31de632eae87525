import { type GradientRequest, type Gradients, refuse } from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import type { EngineCore } from "./engine.ts";
import type { StepScalar } from "./loss-scaler.ts";
import type { Vector, WebgpuBinding } from "./storage.ts";

/** The argument of a loss closure. */
export interface WebgpuBackward<in Name extends string = string> {
  /** The closure records its passes here, forward and backward. It neither finishes nor submits it. */
  readonly encoder: GPUCommandEncoder;
  /**
   * Where the closure's passes put the gradient of a parameter: zeros at first, private to this call, of exactly the parameter's length
   * (4 bytes at least) and dtype. Asking declares that the parameter has a gradient in this call. It is added to what is accumulated. Of a
   * frozen parameter the gradient is dropped.
   *
   * The same binding, as an object, as long as it is the same range: bind groups may be cached by it. A parameter has two of them: one for
   * the first backward of a window, one for the others.
   *
   * @throws OptimError `unknown-parameter`
   */
  readonly grad: (name: Name) => WebgpuBinding;
  /**
   * The seed of the passes, one float32 in a storage or uniform buffer, always this binding: the gradients are those of scale × loss
   * (the window, and the loss scale).
   */
  readonly scale: WebgpuBinding;
}

/**
 * A loss closure: records passes that compute the loss and write its gradients times `scale`. Returns `undefined`, so that no other
 * kind of closure and no asynchronous one passes. It may write the value of the loss into a buffer of its own.
 *
 * ```ts
 * ({ encoder, grad, scale }) => {
 *   const pass = encoder.beginComputePass();
 *   pass.setPipeline(backwardPipeline);
 *   pass.setBindGroup(0, device.createBindGroup({ layout, entries: [
 *     { binding: 0, resource: batch }, { binding: 1, resource: grad("weights") }, { binding: 2, resource: scale },
 *   ] }));
 *   pass.dispatchWorkgroups(groups);
 *   pass.end();
 *   return undefined;
 * };
 * ```
 */
export type WebgpuLoss<out Name extends string = string> = (backward: WebgpuBackward<Name>) => undefined;

/** Runs a closure, and enqueues what it recorded between what zeroes its gradients and what adds them. */
export function differentiate<P>(
  core: EngineCore<P>,
  loss: WebgpuLoss,
  { parameters, scale, lossScale, stepFollows }: GradientRequest<P, Vector, StepScalar>,
): Gradients<undefined, P, Vector, Vector, StepScalar> {
  const { device, latch, accumulation, errors } = core;
  const where = `${device.who}: backward`;
  device.requireLive();
  device.flush();
  return errors.watch("backward", () => {
    const seed = latch.change(lossScale, scale);
    const intake = accumulation.begin();
    const unfrozen = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    const bindings = new Map<string, WebgpuBinding>();
    let running = true;

    const make = (name: string): WebgpuBinding => {
      const parameter = unfrozen.get(name);
      if (parameter !== undefined) return intake.take(parameter, true).binding;
      const dtype = core.dtypeOf(name);
      if (dtype !== undefined) return intake.drop(name, dtype, true).binding;
      return refuse("unknown-parameter", `${where}: grad`, `one of ${core.names.join(", ")}`, name);
    };
    const grad = (name: string): WebgpuBinding => {
      if (!running) {
        refuse("invalid-loss", `${where}: grad`, "calls while the closure runs", "one after its end", {
          hint: "Is it asynchronous? Do what waits before the backward",
        });
      }
      let binding = bindings.get(name);
      if (binding === undefined) bindings.set(name, (binding = make(name)));
      return binding;
    };

    let commands: GPUCommandBuffer[];
    let taken: readonly WebgpuStepParameter<P>[];
    try {
      const encoder = device.createEncoder("loss");
      const value: unknown = loss({ encoder, grad, scale: latch.seed });
      if (value !== undefined) refuseValue(where, value);
      commands = [encoder.finish()];
      if (intake.clears || seed.record !== undefined) {
        const before = device.createEncoder("before the loss");
        intake.recordClears(before);
        seed.record?.(before);
        commands.unshift(before.finish());
      }
      taken = intake.commit();
      if (intake.adds) {
        const after = device.createEncoder("accumulate");
        intake.recordAdditions(after);
        commands.push(after.finish());
      }
    } catch (error) {
      intake.discard();
      throw error;
    } finally {
      running = false;
    }
    seed.commit();
    if (stepFollows) device.hold(commands);
    else device.submit(commands);
    return {
      value: undefined,
      gradients: taken.map((parameter) => [parameter, parameter.accumulator as Vector]),
    };
  });
}

function refuseValue(where: string, value: unknown): never {
  const isPromise = typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function";
  // It may reject, since `grad` is over when it goes on; that is not the error to show.
  if (isPromise) (value as PromiseLike<unknown>).then(undefined, () => {});
  const hint = isPromise
    ? "Await the data first; the closure itself must be synchronous"
    : "What the loss is, a closure may write into a buffer of its own";
  const expected = "a closure that records its passes and returns undefined";
  refuse("invalid-loss", `${where}: loss`, expected, value, { hint });
}
