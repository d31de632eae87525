import * as tf from "@tensorflow/tfjs-core";
// tfjs-core alone has no gradients: this package registers them.
import "@tensorflow/tfjs-layers";
import "@tensorflow/tfjs-backend-cpu";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import type { Backend } from "./settings.ts";

export async function startBackend(backend: Backend): Promise<void> {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  setThreadsCount(1); // Node has no threads for it, whatever is asked.
  if (!(await tf.setBackend(backend)))
    throw new Error(`TensorFlow.js could not start its ${backend} backend`);
  await tf.ready();
  transposeExplicitly();
}

/**
 * Registers a gradient of matrix multiplication that transposes first and multiplies then: tfjs's own asks the kernel to do both, which
 * on wasm is about 13 × slower. It replaces tfjs's for the whole process, which a program may do and a library may not.
 */
function transposeExplicitly(): void {
  const kernelName = "BatchMatMul";
  const stock = tf.getGradient(kernelName);
  tf.unregisterGradient(kernelName);
  tf.registerGradient({
    kernelName,
    inputsToSave: ["a", "b"],
    gradFunc(dy, saved, attributes) {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const { transposeA, transposeB } = attributes as unknown as {
        transposeA: boolean;
        transposeB: boolean;
      };
      if (transposeA || transposeB || a.rank !== 2 || b.rank !== 2)
        return stock.gradFunc(dy, saved, attributes);
      return {
        a: () => tf.matMul(dy as tf.Tensor, tf.transpose(b)),
        b: () => tf.matMul(tf.transpose(a), dy as tf.Tensor),
      };
    },
  });
}
