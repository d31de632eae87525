import type { Networks } from "@mm-examples/gan-digits/losses";
import * as tf from "@tensorflow/tfjs-core";
import type { Controls } from "./controls.ts";
import { type Side, sides } from "./choices.ts";

/** `tf.train.adam`, to compare with. Nothing about it can be changed while it runs. */
export interface PlainAdam {
  update(side: Side, loss: () => tf.Scalar): void;
  /** The last losses. Waits for the device. */
  readLosses(): Promise<Readonly<Record<Side, number>>>;
  dispose(): void;
}

export function createPlainAdam(networks: Networks, controls: Controls): PlainAdam {
  const create = (side: Side) => ({
    optimizer: tf.train.adam(controls[side].lr, 0.5, 0.999),
    loss: undefined as tf.Scalar | undefined,
  });
  const of = { generator: create("generator"), discriminator: create("discriminator") };
  const read = async ({ loss }: ReturnType<typeof create>): Promise<number> =>
    (await loss?.data())?.[0] ?? Number.NaN;
  return {
    update(side, loss) {
      const one = of[side];
      one.loss?.dispose();
      one.loss = one.optimizer.minimize(loss, true, Object.values(networks[side])) ?? undefined;
    },
    async readLosses() {
      const [generator, discriminator] = await Promise.all([read(of.generator), read(of.discriminator)]);
      return { generator, discriminator };
    },
    dispose() {
      for (const side of sides) {
        of[side].optimizer.dispose();
        of[side].loss?.dispose();
      }
    },
  };
}
