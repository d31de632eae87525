import { blockUntilReady, jit, numpy as np } from "@jax-js/jax";

/** Adam as a program of jax-js has it, in its own operations under jit: n parameters, which each step replaces. */
export interface JaxAdam {
  /** One step, and all that computes it: enqueued on webgpu, done elsewhere. */
  step(): Promise<void>;
  dispose(): void;
}

const [b1, b2, eps, lr] = [0.9, 0.999, 1e-8, 1e-3];

export function createJaxAdam(n: number, length: number, device: "webgpu" | "wasm" | "cpu"): JaxAdam {
  const arrays = (value: number): np.Array[] =>
    Array.from({ length: n }, () =>
      np.array(
        Float32Array.from({ length }, (_, i) => value * (1 + i / length)),
        { device },
      ),
    );
  let state: readonly np.Array[][] = [arrays(1), arrays(0), arrays(0)];
  const gradients = arrays(0.5);
  // Algorithm 1 of https://arxiv.org/abs/1412.6980. The bias corrections are arguments, so that nothing is compiled anew.
  const update = jit(
    (
      parameters: np.Array[],
      means: np.Array[],
      squares: np.Array[],
      given: np.Array[],
      rate: np.Array,
      root: np.Array,
    ) => {
      const nextMeans = means.map((mean, i) => mean.mul(b1).add((given[i] as np.Array).ref.mul(1 - b1)));
      const nextSquares = squares.map((square, i) => {
        const gradient = given[i] as np.Array;
        return square.mul(b2).add(gradient.ref.mul(gradient).mul(1 - b2));
      });
      const next = parameters.map((parameter, i) => {
        const denominator = np
          .sqrt((nextSquares[i] as np.Array).ref)
          .mul(root.ref)
          .add(eps);
        return parameter.sub(np.divide((nextMeans[i] as np.Array).ref.mul(rate.ref), denominator));
      });
      rate.dispose();
      root.dispose();
      return [next, nextMeans, nextSquares];
    },
  );
  let t = 0;
  return {
    async step() {
      t += 1;
      const rate = np.array(lr / (1 - b1 ** t), { device });
      const root = np.array(1 / Math.sqrt(1 - b2 ** t), { device });
      const [parameters = [], means = [], squares = []] = state;
      const references = gradients.map(({ ref }) => ref);
      state = update(parameters, means, squares, references, rate, root);
      if (device === "webgpu") for (const array of state.flat()) array.ref.gpuBufferSync();
      else await blockUntilReady(state as np.Array[][]);
    },
    dispose() {
      for (const array of [...state, gradients].flat()) array.dispose();
    },
  };
}
