import type { Engine } from "@mm/optim-core/backend";
import { checkAlive, describeVariable, namesAndFlags, type TfjsLoss } from "@mm/optim-tfjs/host";
import type * as tf from "@tensorflow/tfjs-core";
import { createEngine } from "../host/engine.ts";
import { requireRoom } from "../limits.ts";
import type { StepScalar } from "../loss-scaler.ts";
import type { ParameterPort } from "../port.ts";
import type { Vector } from "../storage.ts";
import { differentiate } from "./differentiate.ts";
import type { TfjsHost } from "./host.ts";

type TfjsEngine = Engine<TfjsLoss, tf.Scalar, tf.Variable, Vector, Vector, StepScalar>;

/** The kernels of this package over variables of tfjs-backend-webgpu, in place. */
export function tfjsEngine(host: TfjsHost): TfjsEngine {
  const { device } = host;
  const port: ParameterPort<tf.Variable> = {
    moves: true,
    describe(variable, where) {
      const description = describeVariable(variable, where);
      requireRoom(device, { offset: 0, bytes: 4 * variable.size }, where);
      return description;
    },
    // An empty variable has no buffer: something is bound, and nothing is done with it.
    resolve: (variable) => ({
      buffer: variable.size > 0 ? host.bufferOf(variable) : engine.seed.buffer,
      offset: 0,
      length: variable.size,
      dtype: "float32",
      padded: false,
    }),
    claim(parameters) {
      checkAlive(parameters.map((parameter) => ({ parameter })));
      const variables = parameters.map(({ value }) => value);
      host.own(variables, () => engine.flush());
    },
    flush: () => host.flush(),
  };
  const engine = createEngine({ backend: "webgpu", device, port });
  const seed = host.scalarOver(engine.seed.buffer);
  return {
    ...engine.members(),
    ...namesAndFlags(),
    differentiate: (loss, request) => differentiate(engine, host, seed, loss, request),
    dispose() {
      // A closure that threw may have left work behind that reads the seed.
      host.flush();
      seed.dispose();
      engine.dispose();
    },
  };
}
