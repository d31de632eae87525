import { createAmpOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { useTfjs } from "../support/tfjs.ts";

const create = (values: readonly number[]) => {
  const w = tf.variable(tf.tensor1d([...values]));
  const optim = createAmpOptimWrapper(tfjsOptimizer(adam({ lr: 0.1 }), { w }));
  return { optim, update: () => void optim.updateParams(() => tf.sum(tf.square(w))) };
};
const lost = expect.objectContaining({ code: "device-lost" }) as Error;

test("a device that is lost is told of, and a run goes on with a new one, to the bit", async () => {
  const device = await useTfjs();
  const first = create([1, 2]);
  for (let step = 0; step < 3; step += 1) first.update();
  const state = await first.optim.stateDict();
  const { w } = await first.optim.optimizer.readParameters();
  first.update();
  const { w: expected } = await first.optim.optimizer.readParameters();

  const reading = first.optim.readMetrics();
  device.destroy();
  await expect(reading).rejects.toEqual(lost);
  await device.lost;
  expect(first.update).toThrow(lost);
  await expect(first.optim.stateDict()).rejects.toEqual(lost);
  first.optim.dispose();

  await useTfjs();
  const second = create([...w!]);
  await second.optim.loadStateDict(state);
  second.update();
  expect((await second.optim.optimizer.readParameters())["w"]).toEqual(expected);
});
