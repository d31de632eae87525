import { numpy as np } from "@jax-js/jax";
import {
  allOperations,
  type Engine,
  hostCapabilities,
  HostLossScaler,
  hostStages,
  memo,
  packed,
  type Parameter,
  type StepItem,
} from "@mm/optim-core/backend";
import type { VectorStore } from "@mm/optim-wasm/kernel";
import { dataOf, type JaxDevice, scalarOf } from "./arrays.ts";
import type { ArrayCell } from "./cell.ts";
import { describeVariable, liveCell } from "./describe.ts";
import { differentiate } from "./differentiate.ts";
import type { JaxLoss } from "./loss.ts";
import { cellOf, type Variable } from "./variable.ts";

/** The values of a variable where kernels reach them. */
interface Mirror<V> {
  readonly vector: V;
  /** The array whose values they are; another one where somebody else has assigned since. */
  array: np.Array | undefined;
}

const backend = "jax";

type NamedVariable = Pick<Parameter<Variable, unknown, unknown>, "name" | "value">;

/**
 * jax-js differentiates, and kernels run over a memory of ours. The values of each variable stay there as well, so that a step only copies them out, into
 * a new array: arrays of jax-js are immutable.
 */
export function arrayEngine<V>(
  store: VectorStore<V>,
  device: JaxDevice,
): Engine<JaxLoss, np.Array, Variable, V, Float32Array, number> {
  const { kernels } = store;
  const mirrors = new Map<ArrayCell, Mirror<V>>();
  /** One vector per length, for gradients that are added. */
  const scratch = new Map<number, V>();
  const scratchOf = (length: number): V => memo(scratch, length, () => store.allocate(length, 0));
  const arrayCell = (variable: Variable): ArrayCell => cellOf(variable) as ArrayCell;
  const mirrorOf = (cell: ArrayCell): Mirror<V> =>
    memo(mirrors, cell, () => {
      return { vector: store.allocate(cell.array.size, 0), array: undefined };
    });

  const stages = hostStages<Variable, V>(kernels, {
    open: ({ value }) => mirrorOf(arrayCell(value)).vector,
    close({ value }, vector) {
      const cell = arrayCell(value);
      cell.write(store.view(vector));
      mirrorOf(cell).array = cell.array;
    },
  });
  /** Nothing fails after this, so that kernels run on all variables or on none. */
  const prepare = (items: readonly StepItem<Variable, V, number>[]): void => {
    for (const { parameter, program } of items) {
      const cell = arrayCell(parameter.value);
      const mirror = mirrorOf(cell);
      if (mirror.array !== cell.array) {
        const values = dataOf(cell.array);
        store.view(mirror.vector).set(values);
        mirror.array = cell.array;
      }
      kernels.compile?.(program);
    }
  };
  const requireLive = (parameters: readonly NamedVariable[], call = ""): void => {
    for (const { name, value } of parameters) liveCell(value, `${backend} optimizer: ${call}${name}`);
  };

  return {
    backend,
    // Each step makes new arrays.
    capabilities: { ...hostCapabilities, inPlace: false, slotDtypes: ["float32", "bfloat16"] },
    operations: allOperations,
    describe: (value, where) => describeVariable(value, where, device),
    reserve: (program, extents) => kernels.reserve(program, extents),

    allocate: (parameter, initial, length = parameter.length) => store.allocate(length, initial),
    allocateCopy(parameter) {
      requireLive([parameter]);
      const { value, length } = parameter;
      // Read first: views are for use at once.
      const values = dataOf(arrayCell(value).array);
      const vector = store.allocate(length, 0);
      store.view(vector).set(values);
      return vector;
    },
    release: (vector) => store.release(vector),
    write: (vector, data) => store.view(vector).set(data),
    read: (vectors) => Promise.resolve(packed(vectors.map((vector) => store.view(vector)))),
    readSync: (vectors) => packed(vectors.map((vector) => store.view(vector))),
    async readParameters(parameters) {
      requireLive(parameters, "readParameters: ");
      return packed(parameters.map(({ value }) => dataOf(arrayCell(value).array)));
    },
    writeParameter(parameter, data) {
      requireLive([parameter], "writeParameters: ");
      arrayCell(parameter.value).write(data);
    },
    scalar: (value) => value,
    readScalars: (scalars) => Promise.resolve([...scalars]),

    differentiate(loss, { parameters, scale, lossScale = 1, returnLoss }) {
      requireLive(parameters);
      const { value, gradients } = differentiate(loss, parameters, () => {
        const seed = scale * lossScale;
        return seed === 1 ? np.array(1, { dtype: np.float32, device }) : scalarOf(seed, device);
      });
      if (!returnLoss) value.dispose();
      const found = gradients.map(([parameter, gradient]) => {
        scratchOf(parameter.length);
        return [parameter, gradient.dataSync() as Float32Array] as const;
      });
      return { value: returnLoss ? value : undefined, gradients: found };
    },
    accumulate({ accumulator, length, pending }, gradient) {
      const into = pending ? scratchOf(length) : (accumulator as V);
      store.view(into).set(gradient);
      if (pending) kernels.accumulate(accumulator as V, into, 1, false);
    },

    stages: {
      ...stages,
      check(items, request) {
        requireLive(items.map(({ parameter }) => parameter));
        const checked = stages.check(items, request);
        if (checked.finite !== 0) prepare(items);
        return checked;
      },
      run(items) {
        requireLive(items.map(({ parameter }) => parameter));
        prepare(items);
        stages.run(items);
      },
    },
    createLossScaler: (settings) => new HostLossScaler(backend, settings),
    dispose: () => store.dispose(),
  };
}
