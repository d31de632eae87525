import type { OptimizerFactory } from "@mm/optim-conformance";
import { tfjsOptimizer, type TfjsLoss, type TfjsOptimizerOptions } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";

/** Variables of tfjs-backend-webgpu, which is the active backend, as the conformance kit takes backends. */
export function tfjsFactory(
  name: string,
  options: TfjsOptimizerOptions = {},
): OptimizerFactory<tf.Variable, TfjsLoss, tf.Scalar> {
  return {
    name,
    outputs: "last",
    createParameter(values, shape) {
      const initial = tf.tensor(values, [...shape], "float32");
      const variable = tf.variable(initial);
      initial.dispose();
      return variable;
    },
    disposeParameter: (variable) => variable.dispose(),
    createOptimizer: (rule, variables, slots) => tfjsOptimizer(rule, variables, { ...options, ...slots }),
    linearLoss: (terms) => () =>
      terms
        .map(({ parameter, gradient }) =>
          parameter.size === 0
            ? emptySum(parameter)
            : tf.sum<tf.Scalar>(tf.mul(parameter, tf.tensor(gradient, parameter.shape))),
        )
        .reduce((sum, term) => tf.add(sum, term), tf.scalar(0)),
    async readLoss(value) {
      const [loss] = await value.data();
      value.dispose();
      return loss as number;
    },
    liveAllocations: () => tf.memory().numTensors,
    storageOf: ({ dataId }) => dataId,
  };
}

/** 0, with an empty gradient: not every backend can sum up an empty tensor. */
const emptySum = tf.customGrad((x) => ({
  value: tf.scalar(0),
  gradFunc: () => tf.zerosLike(x as tf.Tensor),
}));
