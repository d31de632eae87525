import { defaultDevice, numpy as np } from "@jax-js/jax";
import { jaxOptimizer, Variable } from "@mm/optim-jax";
import { adam } from "@mm/optim-rules";
import { createJaxAdam } from "./jax-adam.ts";
import { type Effort, ratio, type Section, sideBySide } from "./measure.ts";

const sizes = [
  { label: "4 × 1M", tensors: 4, length: 2 ** 20 },
  { label: "100 × 10k", tensors: 100, length: 10_000 },
] as const;

const what = { own: "Adam in operations of jax-js, under jit", step: "step" };

/** Adam on variables of jax-js, against Adam in its own operations, on its WebAssembly device. */
export async function jax(effort: Effort): Promise<readonly Section[]> {
  defaultDevice("wasm");
  const sections: Section[] = [];
  for (const { label, tensors, length: whole } of sizes) {
    const length = effort.smoke ? 10 : whole;
    const own = createJaxAdam(tensors, length, "wasm");
    const names = Array.from({ length: tensors }, (_, index) => `w${index}`);
    const variables = names.map((name) => [name, new Variable(np.ones([length]))] as const);
    const optimizer = jaxOptimizer(adam({ lr: 1e-3 }), Object.fromEntries(variables));
    const gradient = Float32Array.from({ length }, (_, index) => 0.5 * (1 + index / length));
    optimizer.writeGradients(Object.fromEntries(names.map((name) => [name, gradient])));
    const timings = await sideBySide(
      [
        { name: what.own, run: () => own.step() },
        { name: what.step, run: () => void optimizer.step() },
      ],
      effort,
      15,
    );
    sections.push({
      title: `Adam, ${label}, variables of jax-js on wasm`,
      about: `Gradients are given. jax-js takes three kernels for each of ${tensors} tensors; a step here takes one, and copies the values into a new array.`,
      timings,
      ratios: [ratio(timings, what.own, what.step)],
    });
    optimizer.dispose();
    own.dispose();
    for (const [, variable] of variables) variable.dispose();
  }
  return sections;
}
