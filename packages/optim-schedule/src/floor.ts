import type { Fields } from "@mm/optim-core/schema";
import { type ByGroup, finiteByGroup, ofGroup } from "./by-group.ts";
import { aFactor } from "./define.ts";
import type { ScheduleGroup } from "./schedule.ts";

/** How low a schedule goes: one of the two. Default 0. */
export interface FloorOptions {
  /**
   * The lowest value of every group, as in PyTorch and MMEngine: groups of different learning rates end at the same one. Or one for each group, by
   * name; those that are not named, and the base settings, have 0.
   */
  readonly etaMin?: number | ByGroup;
  /** The lowest value as a share of the group's own, so that the ratios between groups stay. */
  readonly etaMinRatio?: number;
}

export const floorFields: Fields["fields"] = { "etaMin?": finiteByGroup, "etaMinRatio?": aFactor };

export function checkFloor({ etaMin, etaMinRatio }: FloorOptions): readonly [string, string] | undefined {
  return etaMin !== undefined && etaMinRatio !== undefined
    ? ["etaMinRatio", "nothing beside etaMin"]
    : undefined;
}

export function floorOf(
  { etaMin, etaMinRatio = 0 }: FloorOptions,
  value: number,
  group: ScheduleGroup | undefined,
): number {
  return etaMin === undefined ? value * etaMinRatio : ofGroup(etaMin, group, 0);
}
