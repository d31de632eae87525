import type { Engine, Parameter, StepItem } from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "../gradients.ts";
import type { StepScalar } from "../scalar.ts";
import type { TensorCell } from "./tensor-cell.ts";

export type OpsParameter = Parameter<tf.Variable, TensorCell, StepScalar>;
export type OpsItem = StepItem<tf.Variable, TensorCell, StepScalar>;

/** An engine that keeps parameters, accumulators and slots in tensors, and scalars where the device has them. */
export type OpsEngine = Engine<TfjsLoss, tf.Scalar, tf.Variable, TensorCell, tf.Tensor, StepScalar>;
