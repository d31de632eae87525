import { nn, numpy as np } from "@jax-js/jax";
import type { JaxLoss, ReadVariable } from "./differentiate.ts";
import type { Flowers } from "./iris.ts";
import { arrayOf, Variable } from "./variable.ts";

/** A network of one hidden layer: 4 measurements, 8 hidden units, 3 species. */
export interface Classifier {
  readonly parameters: { readonly [name: string]: Variable };
  /** The mean cross entropy of these flowers. */
  loss(flowers: Flowers): JaxLoss;
  /** How many of these flowers it names rightly, from 0 to 1. */
  accuracy(flowers: Flowers): number;
}

export function createClassifier(): Classifier {
  const parameters = {
    hidden: weights(4, 8),
    hiddenBias: new Variable(np.zeros([8])),
    output: weights(8, 3),
    outputBias: new Variable(np.zeros([3])),
  };
  const logits = (at: ReadVariable, { measurements }: Flowers): np.Array => {
    const hidden = np.tanh(
      np.matmul(matrix(measurements), at(parameters.hidden)).add(at(parameters.hiddenBias)),
    );
    return np.matmul(hidden, at(parameters.output)).add(at(parameters.outputBias));
  };
  return {
    parameters,
    loss: (flowers) => (at) => {
      const wanted = matrix(flowers.species.map((species) => [0, 1, 2].map((s) => Number(s === species))));
      return nn
        .logSoftmax(logits(at, flowers))
        .mul(wanted)
        .sum()
        .mul(-1 / flowers.species.length);
    },
    accuracy(flowers) {
      const scores = logits(({ array }) => array.ref, flowers);
      const found = np.argmax(scores, 1).js() as readonly number[];
      return flowers.species.filter((species, index) => found[index] === species).length / found.length;
    },
  };
}

function matrix(rows: readonly (readonly number[])[]): np.Array {
  return arrayOf(Float32Array.from(rows.flat()), [rows.length, rows[0]?.length ?? 0]);
}

/** Numbers that look random and are the same every time, of variance 1 ÷ `inputs`. */
function weights(inputs: number, outputs: number): Variable {
  const spread = Math.sqrt(3 / inputs);
  const data = Float32Array.from({ length: inputs * outputs }, (_, i) => spread * fraction(i + inputs));
  return new Variable(arrayOf(data, [inputs, outputs]));
}

/** In −1 to 1. */
function fraction(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}
