import { OptimError } from "./errors.ts";

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
  /** The scale never falls below this. PyTorch has no such floor, and its scale can reach 0. Default 2⁻²⁴. */
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
  dispose(): void;
}

/** Whether a loss scale is a scaler that somebody else made. */
export function isLossScaler(lossScale: LossScale | LossScaler | undefined): lossScale is LossScaler {
  return (lossScale as Partial<LossScaler> | undefined | null)?.kind === "loss-scaler";
}

/**
 * Fills in and checks the options of a loss scale. Backends call it in `createLossScaler`.
 *
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function resolveLossScale(option: LossScale): LossScaleSettings {
  const who = "lossScale";
  const defaults: LossScaleSettings = {
    dynamic: true,
    initScale: 65536,
    growthFactor: 2,
    backoffFactor: 0.5,
    growthInterval: 2000,
    minScale: 2 ** -24,
  };
  const refuse = (name: string, expected: string, received: unknown): never => {
    throw new OptimError("invalid-option", name, { expected, received });
  };
  const positive = (value: unknown): boolean =>
    typeof value === "number" && value > 0 && Number.isFinite(Math.fround(value));
  if (option === "dynamic") return defaults;
  if (typeof option === "number") {
    if (!positive(option)) refuse(who, "a positive finite number", option);
    return { ...defaults, dynamic: false, initScale: option };
  }
  if (typeof option !== "object" || (option as unknown) === null || Array.isArray(option)) {
    refuse(who, '"dynamic", a number, options or a LossScaler', option);
  }
  const settings = { ...defaults };
  for (const [name, value] of Object.entries(option) as [keyof DynamicLossScale, number | undefined][]) {
    if (!(name in defaults) || (name as string) === "dynamic") {
      throw new OptimError("unknown-option", `${who}.${name}`, {
        expected: "initScale, growthFactor, backoffFactor, growthInterval or minScale",
        received: name,
      });
    }
    if (value !== undefined) settings[name] = value;
  }
  const { initScale, growthFactor, backoffFactor, growthInterval, minScale } = settings;
  if (!positive(initScale)) refuse(`${who}.initScale`, "a positive finite number", initScale);
  if (!positive(growthFactor) || growthFactor <= 1)
    refuse(`${who}.growthFactor`, "a number above 1", growthFactor);
  if (!positive(backoffFactor) || backoffFactor >= 1)
    refuse(`${who}.backoffFactor`, "a number in (0, 1)", backoffFactor);
  if (!Number.isSafeInteger(growthInterval) || growthInterval < 1)
    refuse(`${who}.growthInterval`, "a positive integer", growthInterval);
  if (!positive(minScale) || minScale > initScale)
    refuse(`${who}.minScale`, "a positive number, at most initScale", minScale);
  return settings;
}
