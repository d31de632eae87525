import { type Capabilities, type ClipGrad, OptimError } from "@mm/optim-core";
import {
  type Checked,
  type CheckRequest,
  type Engine,
  type GradientRequest,
  type Gradients,
  hostCapabilities,
  type Parameter,
  type StepItem,
  type StepStages,
} from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { differentiate, scaleLeft, seedOf, type TfjsLoss } from "../gradients.ts";
import { checkAlive, describeVariable, namedParams } from "../parameters.ts";
import { Latch, operand, readScalars, SharedScalar, type StepScalar } from "../scalar.ts";
import { scoped } from "../scope.ts";
import { filled, readTensors, tensorOf, writeVariable } from "../transfer.ts";
import type { Value } from "./arithmetic.ts";
import { checkAccumulators } from "./check.ts";
import { clipFactor } from "./clip.ts";
import { withConstants } from "./constants.ts";
import { learnDivision } from "./division.ts";
import { TfjsLossScaler } from "./loss-scaler.ts";
import { TensorCell } from "./tensor-cell.ts";
import { unscaleFactor } from "./unscale.ts";
import { type StepFactors, updateAll } from "./update.ts";

export type OpsParameter = Parameter<tf.Variable, TensorCell, StepScalar>;
export type OpsItem = StepItem<tf.Variable, TensorCell, StepScalar>;
export type OpsEngine = Engine<TfjsLoss, tf.Scalar, tf.Variable, TensorCell, tf.Tensor, StepScalar>;

/**
 * The engine of every backend of tfjs, out of tfjs ops. Nothing waits for the device: what it decides stays there, in scalar tensors.
 */
export function opsEngine(): OpsEngine {
  const latch = new Latch();
  const stages = new OpsStages(latch);
  learnDivision();
  return { backend: "tfjs", capabilities, ...opsStorage(latch), stages, dispose: () => stages.dispose() };
}

const capabilities: Capabilities = /* @__PURE__ */ (() =>
  Object.freeze({ ...hostCapabilities, decides: "device", inPlace: false }))();

/** Storage and differentiation in tensors: what every engine that steps by ops has in common. */
export function opsStorage(latch: Latch): Omit<OpsEngine, "backend" | "capabilities" | "stages" | "dispose"> {
  return {
    describe: describeVariable,
    named: namedParams,
    isFrozen: (variable) => !variable.trainable,
    allocate: ({ shape }, initial) => scoped(() => new TensorCell(filled(shape, initial))),
    release: (cell) => cell.dispose(),
    write: (cell, data) => scoped(() => cell.replace(tensorOf(data, cell.tensor.shape))),
    read: (cells) => readTensors(cells.map(({ tensor }) => tensor)),
    readParameters: (parameters) => readTensors(parameters.map(({ value }) => value)),
    writeParameter: ({ value }, data) => writeVariable(value, data),
    scalar: (value) => value,
    readScalars,
    differentiate(
      loss: TfjsLoss,
      request: GradientRequest<tf.Variable, TensorCell, StepScalar>,
    ): OpsGradients {
      latch.hold(request.lossScale);
      return differentiate(loss, request, seedOf(request));
    },
    accumulate({ accumulator, pending }, gradient, request) {
      const cell = accumulator as TensorCell;
      const scale = scaleLeft(request);
      if (scale === 1 && !pending) return cell.replace(gradient);
      tf.tidy(() => {
        const scaled = scale === 1 ? gradient : tf.mul(gradient, scale);
        cell.replace(pending ? tf.add(cell.tensor, scaled) : scaled);
      });
      gradient.dispose();
    },
    createLossScaler: (settings) => new TfjsLossScaler(settings),
  };
}

type OpsGradients = Gradients<tf.Variable, TensorCell, tf.Tensor, StepScalar, tf.Scalar>;

/** How a step ends. */
export interface StepEnd {
  /** `"host"`: the step waits for whether it must be skipped, and throws where that is an error. */
  readonly decides: "device" | "host";
  /** The last stage. `finite` is absent where the host decided. */
  readonly apply: (items: readonly OpsItem[], step: StepFactors) => void;
}

const byRule: StepEnd = { decides: "device", apply: updateAll };

/** The stages in tfjs ops. */
export class OpsStages implements StepStages<tf.Variable, TensorCell, StepScalar> {
  readonly #latch: Latch;
  readonly #end: StepEnd;
  readonly #parameters = new Set<OpsParameter>();
  /** Every shared scalar that was made here and is still referred to, one ownership each. */
  readonly #owned = new Set<SharedScalar>();
  #orThrow = false;
  #gradNorm: StepScalar | undefined;
  #finite: StepScalar | undefined;
  /** Steps that were asked for, and among them those that were skipped. */
  #asked = 0;
  #skipped: StepScalar = 0;
  /** Above 0 once a step that had to be an error was skipped. */
  #failed: StepScalar = 0;

  constructor(latch: Latch, end: StepEnd = byRule) {
    this.#latch = latch;
    this.#end = end;
  }

  check(items: readonly OpsItem[], request: CheckRequest): Checked<StepScalar> {
    checkAlive(items);
    this.#orThrow = request.orThrow;
    return scoped(() => {
      const { norm, finite } = withConstants((constant) => checkAccumulators(items, request, constant));
      this.#finite = finite && (this.#end.decides === "host" ? decided(finite, request) : this.#own(finite));
      return { norm: norm && this.#own(norm), finite: this.#finite };
    });
  }

  unscale(rescale: number, lossScale: StepScalar | undefined): StepScalar {
    return scoped(() => this.#own(unscaleFactor(rescale, lossScale)));
  }

  clip(factor: StepScalar, { norm }: Checked<StepScalar>, clipGrad: ClipGrad | undefined): StepScalar {
    this.#gradNorm = undefined;
    if (norm === undefined) return factor;
    return scoped(() => {
      const clipped = clipFactor(operand(factor), operand(norm) as tf.Tensor, clipGrad);
      this.#gradNorm = this.#own(clipped.gradNorm);
      return this.#own(clipped.factor);
    });
  }

  update(
    items: readonly OpsItem[],
    factor: StepScalar,
    { finite }: Checked<StepScalar>,
    clipGrad: ClipGrad | undefined,
  ): void {
    for (const { parameter } of items) this.#parameters.add(parameter);
    scoped(() => {
      const own = (value: Value): StepScalar => this.#own(value);
      const decision = finite instanceof SharedScalar ? finite.tensor : undefined;
      if (finite !== 0) {
        const factors = { factor: operand(factor), clipGrad, finite: decision, own };
        withConstants((constant) => this.#end.apply(items, { ...factors, constant }));
      }
      this.#asked += 1;
      if (finite === undefined || finite === 1) return;
      this.#skipped = own(added(this.#skipped, finite));
      if (this.#orThrow) this.#failed = own(added(this.#failed, finite));
    });
    this.#release();
  }

  async readMetrics(): Promise<{
    readonly gradNorm?: number;
    readonly steps: number;
    readonly skipped: number;
  }> {
    const asked = this.#asked;
    const hasNorm = this.#gradNorm !== undefined;
    const reading = readScalars([this.#skipped, this.#failed, this.#gradNorm ?? 0]);
    this.#failed = 0;
    const [skipped = 0, failed = 0, gradNorm = 0] = await reading;
    if (failed > 0) {
      throw nonFinite(
        "a step since the last read",
        "It was skipped: parameters and state are as they were before it",
      );
    }
    return { ...(hasNorm && { gradNorm }), steps: asked - skipped, skipped };
  }

  writeCounts({ steps, skipped }: { readonly steps: number; readonly skipped: number }): void {
    this.#asked = steps + skipped;
    this.#skipped = skipped;
    this.#failed = 0;
  }

  dispose(): void {
    for (const scalar of this.#owned) scalar.release();
    this.#owned.clear();
    this.#latch.hold(undefined);
  }

  #own(value: Value): StepScalar {
    if (typeof value === "number") return value;
    const scalar = new SharedScalar(value);
    this.#owned.add(scalar);
    return scalar;
  }

  /** Lets go of the scalars that nothing here refers to any more. A load replaces steps and slots without saying so. */
  #release(): void {
    const live = new Set<StepScalar | undefined>([this.#gradNorm, this.#finite, this.#skipped, this.#failed]);
    for (const { step, scalarSlots } of this.#parameters) {
      live.add(step);
      for (const slot of scalarSlots.values()) live.add(slot);
    }
    for (const scalar of this.#owned) {
      if (live.has(scalar)) continue;
      scalar.release();
      this.#owned.delete(scalar);
    }
  }
}

/** A count of skipped steps with this one, whose `finite` is 1 or 0. */
function added(count: StepScalar, finite: StepScalar): Value {
  if (typeof count === "number" && typeof finite === "number") return count + 1 - finite;
  return tf.add(operand(count), tf.sub(1, operand(finite)));
}

/** Waits for the device. @throws OptimError `non-finite-gradient` where that was asked for; `unsupported` */
function decided(finite: tf.Tensor, { orThrow }: CheckRequest): number {
  let found: number;
  try {
    found = finite.dataSync()[0] as number;
  } catch (cause) {
    throw new OptimError("unsupported", "step: a wrapped tf.Optimizer that may have to skip the step", {
      expected: "a backend that can be read synchronously",
      hint: "Use an update rule of @mm/optim-rules: it decides on the device",
      cause,
    });
  }
  if (orThrow && found === 0)
    throw nonFinite("step: a gradient", "Parameters and state are unchanged and the gradients pending");
  return found;
}

function nonFinite(who: string, hint: string): OptimError {
  return new OptimError("non-finite-gradient", who, { expected: "finite gradients", hint });
}
