import type { GradientRequest, Gradients } from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import type { EngineCore } from "./engine.ts";
import type { StepScalar } from "./loss-scaler.ts";
import { bytesInPlane, type Vector, type WebgpuBinding } from "./storage.ts";

/** A gradient as a host library left it: elements of the parameter's dtype, in whole words. Of an empty one, any buffer will do. */
export interface GradientSource {
  /** With the usage COPY_SRC. Not one of the optimizer's own. */
  readonly buffer: GPUBuffer;
  /** In bytes, a multiple of 4. Default 0. */
  readonly offset?: number;
}

/** One backward pass of a host library. */
export interface HostGradients<P, Value> {
  readonly value: Value | undefined;
  /** Of the parameters that the loss reached, each once. The commands that compute them were submitted, or `port.flush` submits them. */
  readonly gradients: readonly (readonly [parameter: WebgpuStepParameter<P>, source: GradientSource])[];
  /** Called once: when the copies were recorded, or when that failed, and then the value is to be freed as well. */
  readonly done?: (copied: boolean) => void;
}

export interface CopyOptions {
  /**
   * Lets the copies be submitted with the step that follows, which saves a submission. Then nothing may write into the sources before
   * that: the library's memory must not be used again before `engine.flush()`. Default false.
   */
  readonly mayHold?: boolean;
}

/**
 * Takes over gradients that a host library has computed in buffers of its own, by copies on the device: nothing that stays depends on
 * memory of the library.
 *
 * @param run differentiates, and multiplies the loss by the float32 that the seed holds when its commands run; without a seed, by 1
 */
export function copyGradients<P, Value>(
  core: EngineCore<P>,
  request: GradientRequest<P, Vector, StepScalar>,
  run: (seed: WebgpuBinding | undefined) => HostGradients<P, Value>,
  { mayHold = false }: CopyOptions = {},
): Gradients<Value, P, Vector, Vector, StepScalar> {
  const { device, errors } = core;
  device.requireLive();
  device.flush();
  return errors.watch("backward", () => {
    const { value, gradients, done } = run(prepareSeed(core, request));
    let copied = false;
    try {
      const taken = copyAll(core, gradients, mayHold && request.stepFollows);
      copied = true;
      return { value, gradients: taken };
    } finally {
      done?.(copied);
    }
  });
}

/** Submitted at once, since a library may submit in the middle of a closure. */
function prepareSeed<P>(
  { device, latch }: EngineCore<P>,
  { scale, lossScale }: GradientRequest<P, Vector, StepScalar>,
): WebgpuBinding | undefined {
  if (lossScale === undefined && scale === 1) return undefined;
  const { record, commit } = latch.change(lossScale, scale);
  if (record !== undefined) {
    const encoder = device.createEncoder("seed");
    record(encoder);
    device.submit([encoder.finish()]);
  }
  commit();
  return latch.seed;
}

/** Copies gradients to where they accumulate, or to where they are added from. */
function copyAll<P>(
  { device, accumulation, port }: EngineCore<P>,
  gradients: HostGradients<P, unknown>["gradients"],
  holds: boolean,
): Gradients<unknown, P, Vector, Vector, StepScalar>["gradients"] {
  port.flush?.();
  const intake = accumulation.begin();
  try {
    const encoder = device.createEncoder("gradients");
    for (const [parameter, { buffer: from, offset = 0 }] of gradients) {
      const { buffer, binding, plane, place } = intake.take(parameter, false);
      if (place.length === 0) continue;
      const bytes = 4 * Math.ceil((bytesInPlane[plane.dtype] * place.length) / 4);
      encoder.copyBufferToBuffer(from, offset, buffer, binding.offset, bytes);
    }
    const taken = intake.commit();
    if (intake.adds) intake.recordAdditions(encoder);
    const commands = [encoder.finish()];
    if (holds) device.hold(commands);
    else device.submit(commands);
    return taken.map((parameter) => [parameter, parameter.accumulator as Vector]);
  } catch (error) {
    intake.discard();
    throw error;
  }
}
