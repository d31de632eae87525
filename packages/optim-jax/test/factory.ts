import { numpy as np } from "@jax-js/jax";
import type { OptimizerFactory } from "@mm/optim-conformance";
import { type JaxLoss, jaxOptimizer, Variable } from "@mm/optim-jax";

type Device = Variable["device"];

/** An array with these values. */
export function arrayOf(values: Float32Array, shape: readonly number[], device: Device): np.Array {
  if (values.length === 0) return np.zeros([...shape], { device });
  return np.array(new Float32Array(values), { shape: [...shape], device });
}

export function variableOf(device: Device, ...values: number[]): Variable {
  return new Variable(arrayOf(Float32Array.from(values), [values.length], device));
}

/** Waits for the device. */
export async function valuesOf(variable: Variable): Promise<number[]> {
  return [...(await variable.read().data())];
}

/** Variables on a device of jax-js, as the conformance kit takes backends. */
export function jaxFactory(
  device: Device,
  counts: Pick<OptimizerFactory<Variable, JaxLoss, np.Array>, "liveAllocations" | "launches"> & {
    readonly tolerance?: "exact";
  },
): OptimizerFactory<Variable, JaxLoss, np.Array> {
  return {
    name: `jax-js on ${device}`,
    outputs: "last",
    createParameter: (values, shape) => new Variable(arrayOf(values, shape, device)),
    disposeParameter: (variable) => variable.dispose(),
    createOptimizer: jaxOptimizer,
    linearLoss: (terms) => (at) =>
      terms
        .map(({ parameter, gradient }) => at(parameter).mul(arrayOf(gradient, parameter.shape, device)).sum())
        .reduce((sum, term) => sum.add(term), np.array(0, { device })),
    async readLoss(value) {
      const [loss] = await value.data();
      return loss as number;
    },
    ...counts,
  };
}
