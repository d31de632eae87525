import { refuse } from "../../errors.ts";
import type { LossScalerStateDict, LossScaleSettings } from "../../loss-scaler.ts";
import { aPositive, checkSchema, integerFrom } from "../../schema.ts";
import type { EngineLossScaler } from "../engine.ts";

type Scale = Pick<LossScalerStateDict, "scale" | "growthTracker">;

/**
 * The loss scaler of backends where the host decides; their `createLossScaler` is `(settings) => new HostLossScaler(backend, settings)`.
 * float32 scale, as PyTorch's.
 */
export class HostLossScaler implements EngineLossScaler<number> {
  readonly kind = "loss-scaler";
  readonly contract = 1;
  readonly backend: string;
  readonly settings: LossScaleSettings;
  /** Absent once it was disposed. */
  #state: Scale | undefined;
  /** Whether a step since the last update found a gradient that is not finite; absent when there was none. */
  #found: boolean | undefined;
  #updates = 0;

  constructor(backend: string, settings: LossScaleSettings) {
    this.backend = backend;
    this.settings = settings;
    this.#state = { scale: Math.fround(settings.initScale), growthTracker: 0 };
  }

  current(): number {
    return this.#live().scale;
  }

  record(finite: number): void {
    this.#found = this.#found === true || finite === 0;
  }

  get updates(): number {
    return this.#updates;
  }

  update(newScale?: number): void {
    const { scale, growthTracker } = this.#live();
    if (newScale !== undefined) this.#state = { scale: checkedScale(newScale), growthTracker };
    else if (this.#found !== undefined && this.settings.dynamic) {
      this.#state = nextLossScale(this.settings, scale, growthTracker, this.#found);
    }
    this.#found = undefined;
    this.#updates += 1;
  }

  async readScale(): Promise<number> {
    return this.current();
  }

  async stateDict(): Promise<LossScalerStateDict> {
    const { scale, growthTracker } = this.#live();
    return lossScalerState(this.settings, scale, growthTracker);
  }

  prepareLoad(state: LossScalerStateDict): () => void {
    this.#live();
    const loaded = checkedLossScalerState(state);
    return () => {
      if (!this.settings.dynamic || this.#state === undefined) return;
      this.#state = loaded;
      this.#found = undefined;
    };
  }

  dispose(): void {
    this.#state = undefined;
  }

  #live(): Scale {
    return this.#state ?? refuse("disposed", "loss scaler", "one that was not disposed", this);
  }
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
