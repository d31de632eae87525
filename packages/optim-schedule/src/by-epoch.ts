import { refuse } from "@mm/optim-core/backend";
import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import { requireSchedule } from "./require-schedule.ts";
import type { Schedule } from "./schedule.ts";

/**
 * A schedule that is written in epochs, as one that moves at every update: all its counts (`begin`, `length`, `milestones`, …) × `updatesPerEpoch`.
 *
 * Updates are what the wrapper makes: ⌈micro-batches of an epoch ÷ `accumulativeCounts`⌉ where the last, short window of an epoch is flushed. MMEngine's
 * `convert_to_iter_based` counts micro-batches.
 *
 * @example
 * ```ts
 * byEpoch(cosine({ length: 12, by: "epoch" }), 500); // cosine({ length: 6000 })
 * ```
 * @throws OptimError `invalid-option` for a schedule that is not by epoch, and for one with a factor per count (`exponential`), which would be taken
 * at every update
 */
export function byEpoch(schedule: Schedule, updatesPerEpoch: number, where = "byEpoch"): Schedule {
  requireSchedule(where, schedule);
  checkSchema("invalid-option", `${where}: updatesPerEpoch`, updatesPerEpoch, integerFrom(1));
  if (schedule.by !== "epoch") refuse("invalid-option", `${where}: by`, '"epoch"', schedule.by);
  return schedule.inUpdates(updatesPerEpoch, where);
}
