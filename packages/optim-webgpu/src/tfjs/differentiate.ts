import type { GradientRequest, Gradients } from "@mm/optim-core/backend";
import { differentiate as differentiateByTfjs, type TfjsLoss } from "@mm/optim-tfjs/host";
import * as tf from "@tensorflow/tfjs-core";
import type { EngineCore } from "../engine.ts";
import type { StepScalar } from "../loss-scaler.ts";
import type { Vector } from "../storage.ts";
import type { TfjsHost } from "./host.ts";

export type TfjsGradients = Gradients<tf.Variable, Vector, Vector, StepScalar, tf.Scalar>;

/**
 * tfjs differentiates, with a loss that is multiplied by the seed, and its gradients are copied: nothing that stays depends on a buffer of
 * tfjs's pool, which moves them about.
 */
export function differentiate(
  core: EngineCore<tf.Variable>,
  host: TfjsHost,
  seed: tf.Scalar,
  loss: TfjsLoss,
  request: GradientRequest<tf.Variable, Vector, StepScalar>,
): TfjsGradients {
  const { device, latch, errors } = core;
  const { scale, lossScale } = request;
  device.requireLive();
  device.flush();
  return errors.watch("backward", () => {
    const isPlain = lossScale === undefined && scale === 1;
    if (!isPlain) {
      // tfjs may submit in the middle of a closure.
      const { record, commit } = latch.change(lossScale, scale);
      if (record !== undefined) {
        const encoder = device.createEncoder("seed");
        record(encoder);
        device.submit([encoder.finish()]);
      }
      commit();
    }
    const { value, gradients } = differentiateByTfjs(loss, request, isPlain ? undefined : () => seed);
    try {
      return { value, gradients: takeOver(core, host, gradients, request.stepFollows) };
    } catch (error) {
      value?.dispose();
      throw error;
    } finally {
      tf.dispose(gradients.map(([, gradient]) => gradient));
    }
  });
}

/** Copies gradients to where they accumulate, or to where they are added from. */
function takeOver(
  { device, accumulation }: EngineCore<tf.Variable>,
  host: TfjsHost,
  gradients: Gradients<tf.Variable, Vector, tf.Tensor, StepScalar, tf.Scalar>["gradients"],
  stepFollows: boolean,
): TfjsGradients["gradients"] {
  host.settle(gradients.map(([, gradient]) => gradient));
  const intake = accumulation.begin();
  try {
    const encoder = device.createEncoder("gradients");
    for (const [parameter, gradient] of gradients) {
      const { buffer, binding } = intake.take(parameter, false);
      if (gradient.size === 0) continue;
      encoder.copyBufferToBuffer(host.bufferOf(gradient), 0, buffer, binding.offset, 4 * gradient.size);
    }
    const taken = intake.commit();
    if (intake.adds) intake.recordAdditions(encoder);
    const commands = [encoder.finish()];
    if (stepFollows) device.hold(commands);
    else device.submit(commands);
    return taken.map((parameter) => [parameter, parameter.accumulator as Vector]);
  } catch (error) {
    intake.discard();
    throw error;
  }
}
