import type { OptimizerFactory } from "@mm/optim-conformance";
import type { BaseHyperparameters, ParametersInput } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  type NativeHyperparameters,
  type TfjsLoss,
  tfjsOptimizer,
  type TfjsParameters,
} from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { type ExecutionPath, paths, use } from "./backends.ts";

export type TfjsFactory = OptimizerFactory<tf.Variable, TfjsLoss, tf.Scalar>;

/** Kernels of tfjs that have run. */
let launched = 0;
const engine = tf.engine() as unknown as { runKernelFunc: (...given: unknown[]) => unknown };
const { runKernelFunc } = engine;
engine.runKernelFunc = (...given) => {
  launched += 1;
  return runKernelFunc.apply(engine, given);
};

/** One execution path of this backend, as the conformance kit takes backends. */
export async function tfjsFactory(path: ExecutionPath): Promise<TfjsFactory> {
  await use(path);
  return {
    name: path.name,
    ...(path.inPlace && { tolerance: "exact" }),
    outputs: "last",
    createParameter(values, shape) {
      // Several paths may be tested in turn. A backend that is ready becomes the active one at once.
      void tf.setBackend(path.backend);
      const initial = tf.tensor(values, [...shape], "float32");
      const variable = tf.variable(initial);
      initial.dispose();
      return variable;
    },
    disposeParameter: (variable) => variable.dispose(),
    createOptimizer: (rule, variables, slots) =>
      tfjsOptimizer(rule, variables, { ...path.options, ...slots }),
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
    launches: () => launched,
  };
}

/** 0, with an empty gradient: not every backend can sum up an empty tensor. */
const emptySum = tf.customGrad((x) => ({
  value: tf.scalar(0),
  gradFunc: () => tf.zerosLike(x as tf.Tensor),
}));

/** A wrapped optimizer of tfjs itself. The kit asks it for plain descent alone. */
export async function nativeFactory(): Promise<TfjsFactory> {
  const path = paths.find(({ backend }) => backend === "cpu") as ExecutionPath;
  const { tolerance: _, ...factory } = await tfjsFactory(path);
  const createOptimizer = (
    { hyperparameters }: UpdateRule,
    variables: ParametersInput<tf.Variable, BaseHyperparameters>,
  ) => tfjsOptimizer(tf.train.sgd(hyperparameters.lr), variables as TfjsParameters<NativeHyperparameters>);
  return {
    ...factory,
    name: "tf.train.sgd",
    createOptimizer: createOptimizer as object as TfjsFactory["createOptimizer"],
  };
}
