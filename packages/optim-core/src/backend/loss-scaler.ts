import type { LossScalerStateDict, LossScaleSettings } from "../loss-scaler.ts";
import { aPositive, checkSchema, integerFrom } from "../schema.ts";
import type { EngineLossScaler } from "./engine.ts";

/**
 * The loss scaler of backends where the host decides; their `createLossScaler` is `(settings) => new HostLossScaler(backend, settings)`.
 * float32 scale, as PyTorch's.
 */
export class HostLossScaler implements EngineLossScaler<number> {
  readonly kind = "loss-scaler";
  readonly backend: string;
  readonly settings: LossScaleSettings;
  #scale: number;
  #growthTracker = 0;
  #stepped = false;
  #found = false;

  constructor(backend: string, settings: LossScaleSettings) {
    this.backend = backend;
    this.settings = settings;
    this.#scale = Math.fround(settings.initScale);
  }

  current(): number {
    return this.#scale;
  }

  record(finite: number): void {
    this.#stepped = true;
    this.#found ||= finite === 0;
  }

  update(newScale?: number): void {
    if (newScale !== undefined) this.#scale = checkedScale(newScale);
    else if (this.#stepped && this.settings.dynamic) {
      const next = nextLossScale(this.settings, this.#scale, this.#growthTracker, this.#found);
      this.#scale = next.scale;
      this.#growthTracker = next.growthTracker;
    }
    this.#stepped = false;
    this.#found = false;
  }

  readScale(): Promise<number> {
    return Promise.resolve(this.#scale);
  }

  stateDict(): Promise<LossScalerStateDict> {
    return Promise.resolve(lossScalerState(this.settings, this.#scale, this.#growthTracker));
  }

  prepareLoad(state: LossScalerStateDict): () => void {
    const { scale, growthTracker } = checkedLossScalerState(state);
    return () => {
      if (!this.settings.dynamic) return;
      this.#scale = scale;
      this.#growthTracker = growthTracker;
      this.#stepped = false;
      this.#found = false;
    };
  }

  dispose(): void {}
}

/** The state machine of {@link LossScaler}, in float32. */
export function nextLossScale(
  { growthFactor, backoffFactor, growthInterval, minScale }: LossScaleSettings,
  scale: number,
  growthTracker: number,
  found: boolean,
): { readonly scale: number; readonly growthTracker: number } {
  if (found) return { scale: Math.fround(Math.max(minScale, scale * backoffFactor)), growthTracker: 0 };
  if (growthTracker + 1 < growthInterval) return { scale, growthTracker: growthTracker + 1 };
  const grown = Math.fround(scale * growthFactor);
  return { scale: Number.isFinite(grown) ? grown : scale, growthTracker: 0 };
}

export function lossScalerState(
  { dynamic, growthFactor, backoffFactor, growthInterval, minScale }: LossScaleSettings,
  scale: number,
  growthTracker: number,
): LossScalerStateDict {
  return { dynamic, scale, growthTracker, growthFactor, backoffFactor, growthInterval, minScale };
}

/** @throws OptimError `invalid-option` */
export function checkedScale(scale: number): number {
  checkSchema("invalid-option", "LossScaler.update", scale, aPositive);
  return Math.fround(scale);
}

/** Scale and tracker of a saved state. @throws OptimError `invalid-state` */
export function checkedLossScalerState(state: LossScalerStateDict): {
  readonly scale: number;
  readonly growthTracker: number;
} {
  checkSchema("invalid-state", "lossScaler", state, {
    fields: { scale: aPositive, growthTracker: integerFrom(0) },
  });
  return { scale: Math.fround(state.scale), growthTracker: state.growthTracker };
}
