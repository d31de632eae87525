import * as tf from "@tensorflow/tfjs-core";

/** `tf.tidy` for results that hold no tensors of the scope: it frees all that is not kept, and looks at no result. */
export function scoped<T>(run: () => T): T {
  let result: T | undefined;
  tf.tidy(() => {
    result = run();
  });
  return result as T;
}
