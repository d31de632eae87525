import { jit, numpy as np } from "@jax-js/jax";

/** Adam as a program of jax-js has it, in its own operations under jit: n parameters, which it replaces at each step. */
export function createJaxAdam(
  n: number,
  length = 100,
  device?: "webgpu" | "wasm" | "cpu",
): { step(): void; dispose(): void } {
  const b1 = 0.9;
  const b2 = 0.999;
  const arrays = (values: number): np.Array[] =>
    Array.from({ length: n }, () =>
      np.array(
        Float32Array.from({ length }, (_, i) => values * (1 + i / length)),
        device && { device },
      ),
    );
  let state: readonly np.Array[][] = [arrays(1), arrays(0), arrays(0)];
  const gradients = arrays(0.5);
  // https://arxiv.org/abs/1412.6980, algorithm 1; the bias corrections are arguments, so that nothing is compiled anew.
  const update = jit(
    (p: np.Array[], m: np.Array[], v: np.Array[], g: np.Array[], size: np.Array, root: np.Array) => {
      const nextM = m.map((mean, i) => mean.mul(b1).add((g[i] as np.Array).ref.mul(1 - b1)));
      const nextV = v.map((square, i) => {
        const gradient = g[i] as np.Array;
        return square.mul(b2).add(gradient.ref.mul(gradient).mul(1 - b2));
      });
      const nextP = p.map((parameter, i) => {
        const mean = (nextM[i] as np.Array).ref.mul(size.ref);
        const square = np
          .sqrt((nextV[i] as np.Array).ref)
          .mul(root.ref)
          .add(1e-8);
        return parameter.sub(np.divide(mean, square));
      });
      size.dispose();
      root.dispose();
      return [nextP, nextM, nextV];
    },
  );
  let t = 0;
  const realise = (array: np.Array): void =>
    array.device === "webgpu" ? void array.ref.gpuBufferSync() : void array.ref.dataSync();
  return {
    step() {
      t += 1;
      const size = np.array(1e-3 / (1 - b1 ** t), device && { device });
      const root = np.array(1 / Math.sqrt(1 - b2 ** t), device && { device });
      const refs = gradients.map(({ ref }) => ref);
      const [parameters = [], means = [], squares = []] = state;
      state = update(parameters, means, squares, refs, size, root);
      for (const array of state.flat()) realise(array);
    },
    dispose() {
      for (const array of [...state, gradients].flat()) array.dispose();
    },
  };
}
