import { refuse } from "@mm/optim-core/backend";
import { integerFrom, isFinite32, oneOf, type Test } from "@mm/optim-core/schema";
import { aFactor, resolveOptions } from "./define.ts";
import { checkFloor, floorFields, floorOf, type FloorOptions } from "./floor.ts";
import type { Schedule, ScheduleGroup, ScheduleState } from "./schedule.ts";

export interface ReduceOnPlateauOptions extends FloorOptions {
  /** Whether less is better (`"min"`, default: a loss) or more (`"max"`: an accuracy). */
  readonly mode?: "min" | "max";
  /** The factor of the value at each reduction, below 1. Default 0.1. */
  readonly factor?: number;
  /** So many measures in a row that are no better are borne; the next one reduces. Default 10. */
  readonly patience?: number;
  /** How much better than the best so far counts as better, at least 0. Default 1e-4. */
  readonly threshold?: number;
  /** Whether `threshold` is a share of the best (`"rel"`, default) or a difference (`"abs"`). */
  readonly thresholdMode?: "rel" | "abs";
  /** Measures after a reduction that are not counted. Default 0. */
  readonly cooldown?: number;
  /** A reduction by no more than this is not made. Default 1e-8. */
  readonly eps?: number;
}

interface PlateauState {
  /** `null` before the first measure. */
  readonly best: number | null;
  /** Measures in a row that were no better. */
  readonly bad: number;
  /** Measures that are still not counted. */
  readonly cooldown: number;
  readonly reductions: number;
}

const belowOne: Test = [
  (value: unknown) => isFinite32(value) && value >= 0 && value < 1,
  "a number of at least 0 and below 1",
];

/**
 * Multiplies by `factor` when a measure has stopped getting better: `scheduler.observe(loss)`, once an epoch, say. It counts measures,
 * nothing else, and has no closed form: what it will be depends on what it is told. A measure that is not finite is never better.
 *
 * `torch.optim.lr_scheduler.ReduceLROnPlateau` (`min_lr` is `etaMin`).
 */
export function reduceOnPlateau(given: ReduceOnPlateauOptions = {}, where = "reduceOnPlateau"): Schedule {
  const defaults = {
    mode: "min",
    factor: 0.1,
    patience: 10,
    threshold: 1e-4,
    thresholdMode: "rel",
    cooldown: 0,
    eps: 1e-8,
  } as const;
  const fields = {
    ...floorFields,
    "mode?": oneOf("min", "max"),
    "factor?": belowOne,
    "patience?": integerFrom(0),
    "threshold?": aFactor,
    "thresholdMode?": oneOf("rel", "abs"),
    "cooldown?": integerFrom(0),
    "eps?": aFactor,
  };
  const options = resolveOptions(given, where, fields, defaults, checkFloor);
  const { mode, factor, patience, threshold, thresholdMode, cooldown, eps } = options;
  const sign = mode === "min" ? 1 : -1;
  const isBetter = (measure: number, best: number | null): boolean => {
    if (!Number.isFinite(measure) || best === null) return Number.isFinite(measure);
    const limit = thresholdMode === "rel" ? best * (1 - sign * threshold) : best - sign * threshold;
    return sign * measure < sign * limit;
  };
  const start: PlateauState = { best: null, bad: 0, cooldown: 0, reductions: 0 };
  return {
    kind: "schedule",
    type: "reduceOnPlateau",
    by: "update",
    options,
    end: Infinity,
    turns: [0],
    start: { ...start },
    at(_, value, state: ScheduleState = { ...start }, group?: ScheduleGroup) {
      const floor = floorOf(options, value, group);
      let current = value;
      for (let done = 0; done < (state as unknown as PlateauState).reductions; done += 1) {
        const next = Math.min(current, Math.max(current * factor, floor));
        if (current - next <= eps) break;
        current = next;
      }
      return current;
    },
    observe(before, measure) {
      const { best, bad, cooldown: resting, reductions } = before as unknown as PlateauState;
      const better = isBetter(measure, best);
      const rests = resting > 0;
      const worse = rests || better ? 0 : bad + 1;
      const reduces = worse > patience;
      return {
        best: better ? measure : best,
        bad: reduces ? 0 : worse,
        cooldown: reduces ? cooldown : Math.max(0, resting - 1),
        reductions: reductions + Number(reduces),
      };
    },
    with: (saved, place) => reduceOnPlateau(saved, place),
    inUpdates: (_, place) =>
      refuse("invalid-option", place, "a schedule that counts epochs, not measures", "reduceOnPlateau"),
  };
}
