import { numpy as np } from "@jax-js/jax";
import type { OptimizerFactory } from "@mm/optim-conformance";
import { type JaxLoss, jaxOptimizer, Variable } from "@mm/optim-jax";

type Device = Variable["device"];

/** An array with these values. */
export function arrayOf(values: Float32Array, shape: readonly number[], device: Device): np.Array {
  if (values.length === 0) return np.zeros([...shape], { device });
  return np.array(new Float32Array(values), { shape: [...shape], device });
}

/** The same in memory: a constant is compiled into every kernel that uses it. */
function dataOf(values: Float32Array, shape: readonly number[], device: Device): np.Array {
  const { length } = values;
  if (length === 0) return np.zeros([...shape], { device });
  const distinct = Float32Array.of(...values, 0, 1);
  return np
    .array(distinct, { device })
    .slice([0, length])
    .reshape([...shape]);
}

export function variableOf(device: Device, ...values: number[]): Variable {
  return new Variable(arrayOf(Float32Array.from(values), [values.length], device));
}

/** The elements of an array of float32, which is consumed. Waits for the device. */
export async function elementsOf(array: np.Array): Promise<number[]> {
  return Array.from((await array.data()) as Float32Array);
}

export function valuesOf(variable: Variable): Promise<number[]> {
  return elementsOf(variable.read());
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
        .map(({ parameter, gradient }) =>
          at(parameter)
            .mul(dataOf(gradient, parameter.shape, device))
            .sum(),
        )
        .reduce((sum, term) => sum.add(term)),
    async readLoss(value) {
      const [loss] = await elementsOf(value);
      return loss as number;
    },
    ...counts,
  };
}
