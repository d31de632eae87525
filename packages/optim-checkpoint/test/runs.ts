import { type GradientClosure, referenceOptimizer } from "@mm/optim-conformance";
import { type AnyOptimWrapper, createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-tfjs";
import { createArena, wasmOptimizer, type WasmParameters } from "@mm/optim-wasm";
import * as tf from "@tensorflow/tfjs-core";

/** Windows of three, so that most checkpoints are in mid-window. */
export const options: OptimWrapperOptions = {
  accumulativeCounts: 3,
  clipGrad: { maxNorm: 0.5 },
  lossScale: { initScale: 64, growthInterval: 2 },
};
export const rule = adamw({ lr: 0.1, amsgrad: true });

/** Of iteration `n`. */
export const gradientsOf = (n: number): { readonly kernel: Float32Array; readonly bias: Float32Array } => ({
  kernel: Float32Array.from({ length: 6 }, (_, at) => Math.sin(n * 7 + at)),
  bias: Float32Array.from({ length: 2 }, (_, at) => Math.cos(n * 5 + at)),
});

export interface Run {
  readonly wrapper: AnyOptimWrapper;
  train(n: number): void;
}

/** The closure of backends that take gradients as they are. */
const closure =
  (n: number): GradientClosure =>
  ({ grad, scale }) => {
    for (const [name, gradient] of Object.entries(gradientsOf(n))) {
      // As a library in float32 has it.
      grad(name).set(gradient.map((element) => element * Math.fround(scale)));
    }
    return 0;
  };

/** One run on each backend: the same start, the same gradients. */
export const backends = {
  tfjs(): Run {
    const [kernel, bias] = [tf.variable(tf.ones([3, 2])), tf.variable(tf.ones([2]))];
    const wrapper = createOptimWrapper(tfjsOptimizer(rule, { kernel, bias }), options);
    return {
      wrapper,
      train(n) {
        const gradients = gradientsOf(n);
        wrapper.updateParams(() =>
          tf.add<tf.Scalar>(
            tf.sum(tf.mul(kernel, tf.tensor(gradients.kernel, [3, 2]))),
            tf.sum(tf.mul(bias, tf.tensor(gradients.bias))),
          ),
        );
      },
    };
  },
  wasm(): Run {
    const arena: WasmParameters = createArena({ kernel: 6, bias: 2 });
    for (const array of Object.values(arena)) array.fill(1);
    const wrapper = createOptimWrapper(wasmOptimizer(rule, arena), options);
    return { wrapper, train: (n) => void wrapper.updateParams(closure(n)) };
  },
  reference(): Run {
    const kernel = { data: new Float32Array(6).fill(1), shape: [3, 2] };
    const wrapper = createOptimWrapper(
      referenceOptimizer(rule, { kernel, bias: new Float32Array(2).fill(1) }),
      options,
    );
    return { wrapper, train: (n) => void wrapper.updateParams(closure(n)) };
  },
};
