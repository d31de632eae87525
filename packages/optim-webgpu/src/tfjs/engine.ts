import type { Engine } from "@mm/optim-core/backend";
import { checkAlive, describeVariable, namesAndFlags, type TfjsLoss } from "@mm/optim-tfjs/host";
import type { UpdateRule } from "@mm/optim-core/rule";
import type * as tf from "@tensorflow/tfjs-core";
import { EngineCore } from "../engine.ts";
import type { StepScalar } from "../loss-scaler.ts";
import { type ParameterPort, requireRoom } from "../parameters.ts";
import type { Vector } from "../storage.ts";
import { differentiate } from "./differentiate.ts";
import type { TfjsHost } from "./host.ts";

type TfjsEngine = Engine<TfjsLoss, tf.Scalar, tf.Variable, Vector, Vector, StepScalar>;

/** The kernels of this package over variables of tfjs-backend-webgpu, in place. */
export function tfjsEngine(host: TfjsHost, rule: UpdateRule): TfjsEngine {
  const { device } = host;
  const port: ParameterPort<tf.Variable> = {
    moves: true,
    describe(variable, where) {
      const description = describeVariable(variable, where);
      requireRoom(device, undefined, { offset: 0, bytes: 4 * variable.size }, where);
      return description;
    },
    // An empty variable has no buffer: something is bound, and nothing is done with it.
    resolve: (variable) => ({
      buffer: variable.size > 0 ? host.bufferOf(variable) : core.latch.seed.buffer,
      offset: 0,
      length: variable.size,
      dtype: "float32",
      padded: false,
    }),
    flush: () => host.flush(),
  };
  const core = new EngineCore(device, "webgpu", port, rule);
  const members = core.members();
  const { stages } = members;
  const seed = host.scalarOver(core.latch.seed.buffer);
  const own = (parameters: readonly { readonly value: tf.Variable }[]): void =>
    host.own(
      parameters.map(({ value }) => value),
      () => core.device.flush(),
    );
  return {
    ...members,
    ...namesAndFlags(),
    writeParameter(parameter, data) {
      own([parameter]);
      members.writeParameter(parameter, data);
    },
    differentiate: (loss, request) => differentiate(core, host, seed, loss, request),
    // The copies have added.
    accumulate() {},
    stages: {
      check(items, request) {
        checkAlive(items);
        own(items.map(({ parameter }) => parameter));
        return stages.check(items, request);
      },
      unscale: (rescale, lossScale) => stages.unscale(rescale, lossScale),
      clip: (factor, checked, clipGrad) => stages.clip(factor, checked, clipGrad),
      update: (items, factor, checked, clipGrad) => stages.update(items, factor, checked, clipGrad),
      readMetrics: () => stages.readMetrics(),
      writeCounts: (counts) => stages.writeCounts(counts),
    },
    dispose() {
      // A closure that threw may have left work behind that reads the seed.
      host.flush();
      seed.dispose();
      core.dispose();
    },
  };
}
