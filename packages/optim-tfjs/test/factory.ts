import type { OptimizerFactory } from "@mm/optim-conformance";
import { type TfjsLoss, tfjsOptimizer } from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { type ExecutionPath, use } from "./backends.ts";

export type TfjsFactory = OptimizerFactory<tf.Variable, TfjsLoss, tf.Scalar>;

/** One execution path of this backend, as the conformance kit takes backends. */
export async function tfjsFactory(path: ExecutionPath): Promise<TfjsFactory> {
  await use(path);
  return {
    name: path.name,
    ...(path.inPlace && { tolerance: "exact" }),
    createParameter(values, shape) {
      // Several paths may be tested in turn. A backend that is ready becomes the active one at once.
      void tf.setBackend(path.backend);
      const initial = tf.tensor(values, [...shape], "float32");
      const variable = tf.variable(initial);
      initial.dispose();
      return variable;
    },
    disposeParameter: (variable) => variable.dispose(),
    createOptimizer: (rule, variables) => tfjsOptimizer(rule, variables, path.options),
    linearLoss: (terms) => () =>
      terms
        .map(({ parameter, gradient }) =>
          tf.sum<tf.Scalar>(tf.mul(parameter, tf.tensor(gradient, parameter.shape))),
        )
        .reduce((sum, term) => tf.add(sum, term), tf.scalar(0)),
    async readLoss(value) {
      const [loss] = await value.data();
      value.dispose();
      return loss as number;
    },
    liveAllocations: () => tf.memory().numTensors,
  };
}
