import * as tf from "@tensorflow/tfjs-core";
import type { Stateful } from "@mm/optim-train";
import { classes } from "./digits.ts";
import { generate, generatorInput, type Weights } from "./models.ts";
import { createRandom } from "./random.ts";
import type { Settings } from "./settings.ts";

/** Ten samples, one of each class, always from the same latents. */
export interface Frame {
  readonly iteration: number;
  readonly images: Float32Array;
}

/** Samples of twelve times of a training. They are part of its state. */
export interface Frames extends Stateful {
  readonly all: readonly Frame[];
  /** Digits change fastest at the beginning: the times grow with the square. */
  isDue(iteration: number): boolean;
  /** Keeps what a generator draws now. Waits for the device. */
  keep(iteration: number, generator: Weights): Promise<void>;
}

export function createFrames({ iterations, seed }: Settings): Frames {
  const times = new Set(Array.from({ length: 12 }, (_, i) => Math.round(iterations * (i / 11) ** 2)));
  let all: readonly Frame[] = [];
  return {
    get all() {
      return all;
    },
    isDue: (iteration) => times.has(iteration) && all.at(-1)?.iteration !== iteration,
    async keep(iteration, generator) {
      const labels = Uint8Array.from({ length: classes }, (_, label) => label);
      const images = tf.tidy(() =>
        generate(generator, generatorInput(labels, createRandom(seed, "samples"))),
      );
      all = [...all, { iteration, images: Float32Array.from(await images.data<"float32">()) }];
      images.dispose();
    },
    stateDict: () => all,
    loadStateDict(state) {
      all = state as readonly Frame[];
    },
  };
}
