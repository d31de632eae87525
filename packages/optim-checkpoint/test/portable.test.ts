import { decodeCheckpoint, encodeCheckpoint, restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers";
import { beforeAll, expect, test } from "vitest";
import { bits } from "./model.ts";
import { backends, type Run } from "./runs.ts";

beforeAll(() => {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  return tf.setBackend("cpu");
});

type Backend = keyof typeof backends;

// These three compute the same to the bit, so any difference would be one of state.
test.each<readonly [Backend, Backend, Backend]>([
  ["tfjs", "wasm", "reference"],
  ["wasm", "reference", "tfjs"],
  ["reference", "tfjs", "wasm"],
])(
  "a run that a file carries from %s to %s to %s and back, in mid-window, is the run that stayed",
  async (...route) => {
    const stayed = backends.wasm();
    const iterations = 16;
    for (let n = 0; n < iterations; n += 1) stayed.train(n);

    let run = backends[route[0]]();
    for (let n = 0; n < iterations; n += 1) {
      // After 4, 8 and 12: one, two and no iterations into a window of three.
      if (n > 0 && n % 4 === 0) {
        const file = encodeCheckpoint(await takeCheckpoint(run.wrapper)).bytes();
        run = backends[route[(n / 4) % 3] as Backend]();
        await restoreCheckpoint(run.wrapper, await decodeCheckpoint(file));
      }
      run.train(n);
    }
    const parameters = async ({ wrapper }: Run) => bits(await wrapper.optimizer.readParameters());
    expect(await parameters(run)).toEqual(await parameters(stayed));
    expect(await run.wrapper.readMetrics()).toEqual(await stayed.wrapper.readMetrics());
    expect(run.wrapper.innerCount).toBe(iterations);
  },
);
