import * as tf from "@tensorflow/tfjs-core";
// tfjs-core alone has no gradients: this package registers them.
import "@tensorflow/tfjs-layers";
import "@tensorflow/tfjs-backend-cpu";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import { transposeExplicitly } from "./matmul-gradient.ts";
import type { Backend } from "./settings.ts";

export async function startBackend(backend: Backend): Promise<void> {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  setThreadsCount(1); // Node has no threads for it, whatever is asked.
  if (!(await tf.setBackend(backend)))
    throw new Error(`TensorFlow.js could not start its ${backend} backend`);
  await tf.ready();
  transposeExplicitly();
}
