import type { TapeLoss } from "./differentiate.ts";
import type { Flowers } from "./iris.ts";
import { add, logSoftmax, matmul, multiply, sum, tanh, Tensor } from "./tensor.ts";

/** A network of one hidden layer: 4 measurements, 8 hidden units, 3 species. */
export interface Classifier {
  readonly parameters: { readonly [name: string]: Tensor };
  /** The mean cross entropy of these flowers. */
  loss(flowers: Flowers): TapeLoss;
  /** How many of these flowers it names rightly, from 0 to 1. */
  accuracy(flowers: Flowers): number;
}

export function createClassifier(): Classifier {
  const parameters = {
    hidden: weights(4, 8),
    hiddenBias: zeros(8),
    output: weights(8, 3),
    outputBias: zeros(3),
  };
  const logits = ({ measurements }: Flowers): Tensor => {
    const hidden = tanh(add(matmul(matrix(measurements), parameters.hidden), parameters.hiddenBias));
    return add(matmul(hidden, parameters.output), parameters.outputBias);
  };
  return {
    parameters,
    loss: (flowers) => () => {
      const share = -1 / flowers.species.length;
      const wanted = matrix(
        flowers.species.map((species) => [0, 1, 2].map((s) => (s === species ? share : 0))),
      );
      return sum(multiply(logSoftmax(logits(flowers)), wanted));
    },
    accuracy(flowers) {
      const { values } = logits(flowers);
      const isRight = (species: number, flower: number): boolean => {
        const scores = values.slice(3 * flower, 3 * flower + 3);
        return scores[species] === Math.max(...scores);
      };
      return flowers.species.filter(isRight).length / flowers.species.length;
    },
  };
}

function matrix(rows: readonly (readonly number[])[]): Tensor {
  return new Tensor(rows.flat(), [rows.length, rows[0]?.length ?? 0]);
}

const zeros = (length: number): Tensor => new Tensor(new Float32Array(length), [length]);

/** Numbers that look random and are the same every time, of variance 1 ÷ `inputs`. */
function weights(inputs: number, outputs: number): Tensor {
  const spread = Math.sqrt(3 / inputs);
  return new Tensor(
    Array.from({ length: inputs * outputs }, (_, i) => spread * fraction(i + inputs)),
    [inputs, outputs],
  );
}

/** In −1 to 1. */
function fraction(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}
