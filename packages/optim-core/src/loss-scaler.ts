import { aPositive, checkSchema, integerFrom, isFinite32 } from "./schema.ts";

/**
 * Options of dynamic loss scaling, with PyTorch's defaults (`torch.amp.GradScaler`; Micikevicius et al., arXiv:1710.03740, section 3.2).
 */
export interface DynamicLossScale {
  /** Scale at the start. Default 65536. */
  readonly initScale?: number;
  /** Factor after `growthInterval` clean updates in a row, above 1. Default 2. */
  readonly growthFactor?: number;
  /** Factor after an update with a gradient that is not finite, in (0, 1). Default 0.5. */
  readonly backoffFactor?: number;
  /** Default 2000. */
  readonly growthInterval?: number;
  /** The scale never falls below this. PyTorch has no such floor, and its scale can reach 0. Default 2⁻²⁴, or `initScale` below that. */
  readonly minScale?: number;
}

/** `"dynamic"`: the defaults. A number: static, it never changes, and steps with gradients that are not finite are skipped. */
export type LossScale = "dynamic" | number | DynamicLossScale;

/** {@link LossScale} with everything filled in. `dynamic: false` is a static scale. */
export interface LossScaleSettings {
  readonly dynamic: boolean;
  readonly initScale: number;
  readonly growthFactor: number;
  readonly backoffFactor: number;
  readonly growthInterval: number;
  readonly minScale: number;
}

/** State of a loss scaler, plain data. Not the pending outcome of steps since the last `update()`. */
export interface LossScalerStateDict extends Omit<LossScaleSettings, "initScale"> {
  readonly scale: number;
  /** Clean updates since the scale last changed. */
  readonly growthTracker: number;
}

/**
 * A loss scale and its state machine. Made by a backend (`optimizer.createLossScaler`), because its state lives where the backend
 * decides; shared by any number of wrappers of that backend; disposed by whoever made it.
 *
 * ```text
 * update():      nothing stepped since the last update → nothing happens
 *   found        (any step since saw a gradient that is not finite): scale ← max(minScale, scale × backoffFactor); tracker ← 0
 *   clean        tracker ← tracker + 1; at growthInterval: scale ← scale × growthFactor if that is finite; tracker ← 0
 * ```
 */
export interface LossScaler {
  readonly kind: "loss-scaler";
  /** The version of this interface. */
  readonly contract: 1;
  readonly backend: string;
  readonly settings: LossScaleSettings;
  /**
   * Once an iteration, after every wrapper that shares this scaler has stepped. A wrapper that owns its scaler calls it. Does not wait
   * for the device. `newScale` sets the scale instead; the growth tracker keeps its value (PyTorch's `update(new_scale)`).
   */
  update(newScale?: number): void;
  /** The current scale. Waits for the device. */
  readScale(): Promise<number>;
  /** A copy of the state as of the call. Waits for the device. */
  stateDict(): Promise<LossScalerStateDict>;
  /**
   * Checks a state and returns what installs it, which cannot fail. A static scaler keeps its own scale.
   *
   * @throws OptimError `invalid-state`
   */
  prepareLoad(state: LossScalerStateDict): () => void;
  /** Twice is fine. */
  dispose(): void;
}

/** Whether a loss scale is a scaler that somebody else made. */
export function isLossScaler(lossScale: LossScale | LossScaler | undefined): lossScale is LossScaler {
  return (lossScale as Partial<LossScaler> | null | undefined)?.kind === "loss-scaler";
}

/**
 * Fills in and checks the options of a loss scale. Backends call it in `createLossScaler`.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function resolveLossScale(option: LossScale): LossScaleSettings {
  const dynamic = typeof option !== "number";
  const options: DynamicLossScale = option === "dynamic" ? {} : dynamic ? option : { initScale: option };
  const { initScale = 65536, minScale = Math.min(2 ** -24, initScale) } = Object(options) as DynamicLossScale;
  checkSchema("invalid-option", "lossScale", options, {
    fields: {
      "initScale?": aPositive,
      "growthFactor?": [(value: unknown) => isFinite32(value) && value > 1, "a finite number above 1"],
      "backoffFactor?": [
        (value: unknown) => isFinite32(value) && value > 0 && value < 1,
        "a number in (0, 1)",
      ],
      "growthInterval?": integerFrom(1),
      "minScale?": [
        (value: unknown) => isFinite32(value) && value > 0 && value <= initScale,
        "a number above 0, at most initScale",
      ],
    },
  });
  const { growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } = options;
  return { dynamic, initScale, growthFactor, backoffFactor, growthInterval, minScale };
}
