import { testOptimizer } from "@mm/optim-conformance";
import { isOptimError } from "@mm/optim-core";
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { tfjsFactory, type TfjsFactory } from "../../factory.ts";
import { useHalfFloats } from "../half-support.ts";

/** With the gradients that the kit gives, in float32: where the host has them, nothing rounds them on their way. */
const linearLoss: TfjsFactory["linearLoss"] = (terms) => () =>
  terms
    .map(({ parameter, gradient }) => {
      const dot = tf.customGrad<tf.Scalar>((x) => {
        const values = [...(x as tf.Tensor).dataSync()];
        const gradFunc = (dy: tf.Scalar): tf.Tensor => {
          const [scale = 1] = dy.dataSync();
          return tf.tensor(
            gradient.map((value) => value * scale),
            parameter.shape,
          );
        };
        return {
          value: tf.scalar(values.reduce((sum, value, at) => sum + value * gradient[at]!, 0)),
          gradFunc,
        };
      });
      return dot(parameter);
    })
    .reduce((sum, term) => tf.add(sum, term), tf.scalar(0));

/** The bounds: half floats hold no scale above 65504, and float32 rounds such a product twice. */
const beyond = [
  "loss scale: never grows past float32",
  "loss scale: factors that are no powers of two are rounded once",
];

const expectedOf = (name: string): RegExp =>
  beyond.some((title) => name.endsWith(title)) ? /loss scale: scale/ : /^kept$|^refused$/;

/** `"kept"`; `"refused"` where the backend does so by name, which is no fault; else what was found. */
const outcomeOf = (run: () => Promise<void>): Promise<string> =>
  run().then(
    () => "kept",
    (error: unknown) => {
      const isRefusal = isOptimError(error) && error.code === "unsupported";
      return isRefusal && error.message.includes("where textures of tfjs-webgl are half floats")
        ? "refused"
        : String(error);
    },
  );

describe("the kit on half floats", async () => {
  await useHalfFloats();
  const factory = await tfjsFactory({ name: "half floats", backend: "webgl", options: {}, inPlace: false });
  testOptimizer({
    test: (name, run) =>
      test(`half floats: ${name}`, async () => {
        expect(await outcomeOf(run)).toMatch(expectedOf(name));
      }),
    factory: { ...factory, linearLoss },
    print: () => {},
  });
});
