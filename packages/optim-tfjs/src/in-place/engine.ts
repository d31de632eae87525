import {
  allOperations,
  type Engine,
  type EngineLossScaler,
  hostCapabilities,
  hostStages,
  packed,
  type StepItem,
} from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { differentiate, scaleLeft, seedOf, type TfjsLoss } from "../gradients.ts";
import { TfjsLossScaler } from "../ops/loss-scaler.ts";
import { checkAlive, describeVariable, namesAndFlags } from "../parameters.ts";
import { hostNumber, Latch, type StepScalar } from "../scalar.ts";
import { readTensors, writeVariable } from "../transfer.ts";
import type { VariableStorage } from "./storage.ts";

/** The engine of tfjs-wasm and tfjs-cpu: fused kernels, one call per tensor, and the host decides. */
export function inPlaceEngine<V>(
  storage: VariableStorage<V>,
): Engine<TfjsLoss, tf.Scalar, tf.Variable, V, tf.Tensor, number> {
  const latch = new Latch();
  const { kernels } = storage;
  const stages = hostStages<tf.Variable, V>(kernels, {
    open: ({ value }) => storage.open(value),
    close: ({ value }, vector) => storage.close?.(value, vector),
  });
  /** Nothing fails after this, so that kernels run on all variables or on none. */
  const prepare = (items: readonly StepItem<tf.Variable, V, number>[]): void => {
    storage.prepare(items.map(({ parameter }) => parameter.value));
    for (const { program } of items) kernels.compile?.(program);
  };
  return {
    backend: "tfjs",
    capabilities: { ...hostCapabilities, slotDtypes: ["float32", "bfloat16"] },
    describe: describeVariable,
    ...namesAndFlags(),

    reserve: (program, extents) => kernels.reserve(program, extents),
    operations: allOperations,
    allocate: (parameter, initial, length = parameter.length) => storage.allocate(length, initial),
    allocateCopy(parameter) {
      checkAlive([{ parameter }]);
      // Read first: views are for use at once.
      const values = parameter.value.dataSync<"float32">();
      const vector = storage.allocate(parameter.length, 0);
      storage.view(vector).set(values);
      return vector;
    },
    release: (vector) => storage.release(vector),
    write: (vector, data) => storage.view(vector).set(data),
    read: (vectors) => Promise.resolve(packed(vectors.map((vector) => storage.view(vector)))),
    readSync: (vectors) => packed(vectors.map((vector) => storage.view(vector))),
    readParameters: (parameters) => readTensors(parameters.map(({ value }) => value)),
    writeParameter: ({ value }, data) => writeVariable(value, data),
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve(scalars.map(hostNumber)),

    differentiate(loss, request) {
      latch.hold(request.lossScale);
      const result = differentiate(loss, request, seedOf(request));
      try {
        for (const [, gradient] of result.gradients) storage.receive(gradient);
      } catch (error) {
        tf.dispose([result.value ?? [], ...result.gradients.map(([, gradient]) => gradient)]);
        throw error;
      }
      return result;
    },
    accumulate({ accumulator, pending }, gradient, request) {
      storage.accumulate(accumulator as V, gradient, scaleLeft(request), !pending);
    },
    discard: (gradient) => gradient.dispose(),

    stages: {
      ...stages,
      check(items, request) {
        checkAlive(items);
        const checked = stages.check(items, request);
        if (checked.finite !== 0) prepare(items);
        return checked;
      },
      run(items) {
        checkAlive(items);
        prepare(items);
        stages.run(items);
      },
      // A scaler that is shared with an optimizer lowered to ops holds its scale in a tensor.
      unscale: (rescale, lossScale) =>
        stages.unscale(rescale, lossScale === undefined ? undefined : hostNumber(lossScale)),
    },
    createLossScaler: (settings) =>
      new TfjsLossScaler(settings) as EngineLossScaler<StepScalar> as EngineLossScaler<number>,
    dispose() {
      latch.hold(undefined);
      storage.dispose?.();
    },
  };
}
