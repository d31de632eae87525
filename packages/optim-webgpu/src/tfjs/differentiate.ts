import type { GradientRequest, Gradients } from "@mm/optim-core/backend";
import { differentiate as differentiateByTfjs, type TfjsLoss } from "@mm/optim-tfjs/host";
import * as tf from "@tensorflow/tfjs-core";
import { copyGradients, type WebgpuEngine } from "../host/engine.ts";
import type { StepScalar } from "../loss-scaler.ts";
import type { Vector } from "../storage.ts";
import type { TfjsHost } from "./host.ts";

/**
 * tfjs differentiates, with a loss that is multiplied by the seed, and its gradients are copied: nothing that stays depends on a buffer of
 * tfjs's pool, which moves them about.
 */
export function differentiate(
  engine: WebgpuEngine<tf.Variable>,
  host: TfjsHost,
  seed: tf.Scalar,
  loss: TfjsLoss,
  request: GradientRequest<tf.Variable, Vector, StepScalar>,
): Gradients<tf.Scalar, tf.Variable, Vector, Vector, StepScalar> {
  return copyGradients(
    engine,
    request,
    (scale) => {
      const { value, gradients } = differentiateByTfjs(loss, request, scale && (() => seed));
      const tensors = gradients.map(([, gradient]) => gradient);
      const done = (copied: boolean): void => {
        tf.dispose(tensors);
        if (!copied) value?.dispose();
      };
      try {
        host.settle(tensors);
        const sources = gradients.map(
          ([parameter, gradient]) =>
            [
              parameter,
              // There is nothing to copy of an empty one.
              { buffer: gradient.size > 0 ? host.bufferOf(gradient) : engine.seed.buffer },
            ] as const,
        );
        return { value, gradients: sources, done };
      } catch (error) {
        done(false);
        throw error;
      }
    },
    // tfjs's pool may give the gradients' memory away again: before that, `TfjsHost.own` and the next backward submit the copies.
    { mayHold: true },
  );
}
