import type { OptimWrapper } from "@mm/optim-core";
import type * as tf from "@tensorflow/tfjs-core";
import type { TfjsLoss } from "../gradients.ts";

/** An optimizer wrapper over tfjs variables, of any rule. */
export type TfjsWrapper = OptimWrapper<TfjsLoss, tf.Scalar>;
