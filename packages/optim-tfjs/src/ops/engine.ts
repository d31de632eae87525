import type { Capabilities } from "@mm/optim-core";
import {
  allOperations,
  type Checked,
  type CheckRequest,
  type GradientRequest,
  type Gradients,
  hostCapabilities,
  refuse,
  type StepStages,
  type StepClip,
} from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { differentiate, scaleLeft, seedOf, type TfjsLoss } from "../gradients.ts";
import { checkAlive, describeVariable, namesAndFlags } from "../parameters.ts";
import { Latch, operand, readScalars, SharedScalar, type StepScalar } from "../scalar.ts";
import { scoped } from "../scope.ts";
import { filled, readTensors, tensorOf, writeVariable } from "../transfer.ts";
import { drawsHalfFloats } from "../webgl/private.ts";
import { checkAccumulators } from "./check.ts";
import { clipFactor } from "./clip.ts";
import { withConstants } from "./constants.ts";
import { learnDivision } from "./division.ts";
import { Ledger, nonFinite } from "./ledger.ts";
import { TfjsLossScaler } from "./loss-scaler.ts";
import { readNorms } from "./norms.ts";
import type { OpsEngine, OpsItem, OpsParameter } from "./ops-engine.ts";
import { TensorCell } from "./tensor-cell.ts";
import { unscaleFactor } from "./unscale.ts";
import { prepareUpdates, type StepFactors } from "./update.ts";
import type { Value } from "./value.ts";

/**
 * The engine of every backend of tfjs, out of tfjs ops. Nothing waits for the device: what it decides stays there, in scalar tensors.
 */
export function opsEngine(): OpsEngine {
  const latch = new Latch();
  const stages = new OpsStages(latch);
  learnDivision();
  return {
    backend: "tfjs",
    capabilities: ofTensors(capabilities),
    ...opsStorage(latch),
    stages,
    dispose: () => stages.dispose(),
  };
}

const capabilities: Capabilities = /* @__PURE__ */ (() =>
  Object.freeze({ ...hostCapabilities, decides: "device", inPlace: false, fused: false }))();

/** Capabilities of an optimizer whose state is in tensors of the active backend. */
export function ofTensors(capabilities: Capabilities): Capabilities {
  return drawsHalfFloats(tf.backend())
    ? Object.freeze({ ...capabilities, float32State: false })
    : capabilities;
}

/** Storage and differentiation in tensors: what every engine that steps by ops has in common. */
export function opsStorage(latch: Latch): Omit<OpsEngine, "backend" | "capabilities" | "stages" | "dispose"> {
  return {
    operations: allOperations,
    describe: describeVariable,
    ...namesAndFlags(),
    // A slot that is one per row or per column has elements of its own.
    allocate: ({ shape, length: all }, initial, length = all) =>
      scoped(() => new TensorCell(filled(length === all ? shape : [length], initial))),
    // Nobody writes into a tensor: a handle of its own on the data will do.
    allocateCopy(parameter) {
      checkAlive([{ parameter }]);
      return scoped(() => new TensorCell(parameter.value));
    },
    release: (cell) => cell.dispose(),
    write: (cell, data) => scoped(() => cell.replace(tensorOf(data, cell.tensor.shape))),
    read: (cells) => readTensors(cells.map(({ tensor }) => tensor)),
    readNorms: (cells) => readNorms(cells.map(({ tensor }) => tensor)),
    readParameters: (parameters) => readTensors(parameters.map(({ value }) => value)),
    writeParameter: ({ value }, data) => writeVariable(value, data),
    scalar: (value) => value,
    readScalars,
    differentiate(
      loss: TfjsLoss,
      request: GradientRequest<tf.Variable, TensorCell, StepScalar>,
    ): OpsGradients {
      latch.hold(request.lossScale);
      return added(differentiate(loss, request, seedOf(request)), scaleLeft(request));
    },
    // It has been added, see `added`.
    accumulate: ({ accumulator }, sum) => (accumulator as TensorCell).take(sum),
    discard: (sum) => sum.dispose(),
    createLossScaler: (settings) => new TfjsLossScaler(settings),
  };
}

/**
 * Gradients as what their accumulators will be: all of them are added before the first accumulator is replaced, so that a sum that fails
 * leaves all as they were. A gradient is freed as soon as its sum is there.
 */
function added({ value, gradients }: OpsGradients, scale: number): OpsGradients {
  const sums: (readonly [OpsParameter, tf.Tensor])[] = [];
  try {
    for (const [parameter, gradient] of gradients) {
      const sum = scoped(() => {
        const scaled = scale === 1 ? gradient : tf.mul(gradient, scale);
        return tf.keep(
          parameter.pending ? tf.add((parameter.accumulator as TensorCell).tensor, scaled) : scaled,
        );
      });
      sums.push([parameter, sum]);
      if (sum !== gradient) gradient.dispose();
    }
  } catch (error) {
    tf.dispose([value ?? [], ...[...gradients, ...sums].map(([, tensor]) => tensor)]);
    throw error;
  }
  return { value, gradients: sums };
}

type OpsGradients = Gradients<tf.Scalar, tf.Variable, TensorCell, tf.Tensor, StepScalar>;

/** How a step ends. */
export interface StepEnd {
  /** `"host"`: the step waits for whether it must be skipped, and throws where that is an error. */
  readonly decides: "device" | "host";
  /**
   * The last stage, in two halves: computes what comes next, and returns what puts it there, which leaves all as it was where it fails.
   * `finite` is absent where the host decided.
   */
  readonly prepare: (items: readonly OpsItem[], step: StepFactors) => () => void;
}

export const byRule: StepEnd = { decides: "device", prepare: prepareUpdates };

/** The stages in tfjs ops. */
export class OpsStages implements StepStages<tf.Variable, TensorCell, StepScalar> {
  readonly #latch: Latch;
  readonly #end: StepEnd;
  readonly #ledger: Ledger;

  constructor(latch: Latch, end: StepEnd = byRule, ledger: Ledger = new Ledger()) {
    this.#latch = latch;
    this.#end = end;
    this.#ledger = ledger;
  }

  check(items: readonly OpsItem[], request: CheckRequest): Checked<StepScalar> {
    const ledger = this.#ledger;
    checkAlive(items);
    ledger.orThrow = request.orThrow;
    return scoped(() => {
      const { norm, finite } = withConstants((constant) => checkAccumulators(items, request, constant));
      ledger.finite =
        finite && (this.#end.decides === "host" ? decided(finite, request) : ledger.own(finite));
      return { norm: norm && ledger.own(norm), finite: ledger.finite };
    });
  }

  unscale(rescale: number, lossScale: StepScalar | undefined): StepScalar {
    return scoped(() => this.#ledger.own(unscaleFactor(rescale, lossScale)));
  }

  clip(factor: StepScalar, { norm }: Checked<StepScalar>, clipGrad: StepClip | undefined): StepScalar {
    const ledger = this.#ledger;
    ledger.gradNorm = undefined;
    if (norm === undefined) return factor;
    return scoped(() => {
      const clipped = clipFactor(operand(factor), operand(norm) as tf.Tensor, clipGrad);
      ledger.gradNorm = ledger.own(clipped.gradNorm);
      return ledger.own(clipped.factor);
    });
  }

  update(
    items: readonly OpsItem[],
    factor: StepScalar,
    { finite }: Checked<StepScalar>,
    clipGrad: StepClip | undefined,
  ): void {
    const ledger = this.#ledger;
    ledger.take(items);
    try {
      scoped(() => {
        const own = (value: Value): StepScalar => ledger.own(value);
        const decision = finite instanceof SharedScalar ? finite.tensor : undefined;
        const factors = { factor: operand(factor), clipGrad, finite: decision, own };
        withConstants((constant) => {
          const commit = finite === 0 ? undefined : this.#end.prepare(items, { ...factors, constant });
          const count = ledger.prepareCount(finite);
          commit?.();
          count();
        });
      });
    } finally {
      ledger.release();
    }
  }

  run(items: readonly OpsItem[]): void {
    checkAlive(items);
    try {
      scoped(() => {
        const factors = { factor: 1, clipGrad: undefined, finite: undefined, counts: false };
        const own = (value: Value): StepScalar => this.#ledger.own(value);
        withConstants((constant) => this.#end.prepare(items, { ...factors, own, constant })());
      });
    } finally {
      this.#ledger.release();
    }
  }

  readMetrics(): ReturnType<Ledger["readMetrics"]> {
    return this.#ledger.readMetrics();
  }

  writeCounts(counts: { readonly steps: number; readonly skipped: number }): void {
    this.#ledger.writeCounts(counts);
  }

  dispose(): void {
    this.#ledger.dispose();
    this.#latch.hold(undefined);
  }
}

/** Waits for the device. @throws OptimError `non-finite-gradient` where that was asked for; `unsupported` */
function decided(finite: tf.Tensor, { orThrow }: CheckRequest): number {
  let found: number;
  try {
    found = finite.dataSync()[0] as number;
  } catch (cause) {
    refuse("unsupported", "step", "a backend that can be read synchronously", tf.getBackend(), {
      hint: "A wrapped tf.Optimizer that may have to skip a step waits for it. Update rules of @mm/optim-rules decide on the device",
      cause,
    });
  }
  if (orThrow && found === 0)
    throw nonFinite("step: a gradient", "Parameters and state are unchanged and the gradients pending");
  return found;
}
