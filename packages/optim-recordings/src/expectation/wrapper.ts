import type { GoldenNumber, TorchOptions, WrapperCase, WrapperStep } from "../format.ts";
import { encode } from "./formulas.ts";
import { modelOf, parametersOf, toFloat32 } from "./training.ts";

/** Where MMEngine on PyTorch 1.13 and we part; with all of them on, a recording has to come out as it is. */
export interface MmengineWays {
  /** After `zero_grad` gradients are zeros, which momentum and weight decay act on; ours are absent. */
  readonly zeroGradients: boolean;
  /** A window that a resume has cut short is divided by `accumulative_counts`; ours by its own length. */
  readonly fullDivisor: boolean;
}

export const ours: MmengineWays = { zeroGradients: false, fullDivisor: false };

/** A case of kind `optimWrapper` or `ampOptimWrapper` with what these ways give, in float64 but for the accumulators. */
export function expectWrapper(recorded: WrapperCase, ways: MmengineWays = ours): WrapperCase {
  const { accumulativeCounts: size, initializeCountStatus: status, clipGrad } = recorded;
  const model = modelOf(recorded);
  const scale = recorded.kind === "ampOptimWrapper" ? new Scale(recorded.lossScale) : undefined;
  const max = status?.maxCounts ?? Number.POSITIVE_INFINITY;
  let count = status?.initCounts ?? 0;
  let start = count;
  let pending = new Map<string, number[]>();
  const steps: WrapperStep[] = [];
  for (const { grads } of recorded.steps) {
    const isBoundary = (n: number): boolean => n % size === 0 || n === max;
    const before = { grads, shouldSyncBefore: isBoundary(count + 1), innerCountBefore: count };
    if (count >= max) {
      steps.push({ ...before, error: { type: "count-exceeded", message: "past maxCounts" } });
      break;
    }
    const end = Math.min((Math.floor(count / size) + 1) * size, max);
    const windowStart = ways.fullDivisor ? Math.floor(start / size) * size : start;
    const lossFactor = end - windowStart;
    const seed = (scale?.value ?? 1) / lossFactor;
    for (const [name, data] of Object.entries(grads)) {
      if (data === null) continue;
      const sum = pending.get(name);
      const added = [...data].map((value) => Math.fround(toFloat32(value) * seed));
      pending.set(
        name,
        added.map((value, i) => (sum ? Math.fround((sum[i] as number) + value) : value)),
      );
    }
    count += 1;
    const row = { ...before, lossFactor, innerCountAfter: count, updated: isBoundary(count) };
    const scaleBefore = scale?.value;
    let outcome: Partial<WrapperStep> = { ...(scale && { skipped: false }) };
    if (row.updated) {
      const raw = [...pending.values()].flat();
      const factor = 1 / (scale?.value ?? 1);
      const skipped = scale !== undefined && !raw.every(Number.isFinite);
      const { norm, clip } = clipping(
        clipGrad,
        raw.map((value) => value * factor),
      );
      outcome = {
        accumulatedGrads: Object.fromEntries(
          [...model.parameters.keys()].map((name) => [
            name,
            pending.has(name) ? encode(pending.get(name) as number[]) : null,
          ]),
        ),
        ...(norm !== undefined && { logged: { "train/grad_norm": encode([norm])[0] as GoldenNumber } }),
        ...(scale && { skipped }),
      };
      if (!skipped) {
        const clipped = [...pending].map(
          ([name, values]) => [name, values.map((value) => clip(value * factor))] as const,
        );
        model.step(new Map(clipped));
      }
      scale?.update(skipped);
      const zeros = [...pending].map(([name, values]) => [name, values.map(() => 0)] as const);
      pending = new Map(ways.zeroGradients ? zeros : []);
      start = count;
    }
    steps.push({
      ...row,
      ...outcome,
      ...(scale && {
        scaleBefore: scaleBefore as number,
        scaleAfter: scale.value,
        growthTrackerAfter: scale.tracker,
      }),
      after: parametersOf(model),
    });
  }
  const { finalStateDict } = recorded;
  return {
    ...recorded,
    steps,
    finalStateDict: {
      ...finalStateDict,
      state: model.state(),
      ...(scale && {
        loss_scaler: { ...finalStateDict.loss_scaler, scale: scale.value, _growth_tracker: scale.tracker },
      }),
    },
  };
}

/** PyTorch's dynamic loss scale, or a static one. */
class Scale {
  value: number;
  tracker = 0;
  readonly #factors: { growth: number; backoff: number; interval: number } | undefined;

  constructor(lossScale: WrapperCase["lossScale"] = "dynamic") {
    const options: TorchOptions = typeof lossScale === "object" ? lossScale : {};
    const number = (name: string, standard: number): number => Number(options[name] ?? standard);
    this.value = Math.fround(typeof lossScale === "number" ? lossScale : number("init_scale", 65536));
    if (typeof lossScale === "number") return;
    this.#factors = {
      growth: number("growth_factor", 2),
      backoff: number("backoff_factor", 0.5),
      interval: number("growth_interval", 2000),
    };
  }

  update(found: boolean): void {
    if (this.#factors === undefined) return;
    const { growth, backoff, interval } = this.#factors;
    this.tracker = found ? 0 : this.tracker + 1;
    if (found) this.value = Math.fround(this.value * backoff);
    if (this.tracker !== interval) return;
    this.tracker = 0;
    const grown = Math.fround(this.value * growth);
    if (Number.isFinite(grown)) this.value = grown;
  }
}

/** The norm where one is measured, and what clipping does to an element. */
export function clipping(
  clipGrad: TorchOptions | null,
  values: readonly number[],
): { readonly norm: number | undefined; readonly clip: (value: number) => number } {
  if (clipGrad === null) return { norm: undefined, clip: (value) => value };
  if (clipGrad["type"] === "value") {
    const bound = Number(clipGrad["clip_value"]);
    return { norm: undefined, clip: (value) => Math.min(bound, Math.max(-bound, value)) };
  }
  const norm = pNorm(values, clipGrad["norm_type"] === "inf" ? Infinity : Number(clipGrad["norm_type"] ?? 2));
  const coefficient = Math.min(1, Number(clipGrad["max_norm"]) / (norm + 1e-6));
  return { norm, clip: (value) => value * coefficient };
}

function pNorm(values: readonly number[], p: number): number {
  if (p === Infinity) return values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  return values.reduce((sum, value) => sum + Math.abs(value) ** p, 0) ** (1 / p);
}
