import type { Fields } from "@mm/optim-core/schema";
import { aFinite } from "@mm/optim-core/schema";
import { aFactor } from "./define.ts";

/** How low a schedule goes: one of the two. Default 0. */
export interface FloorOptions {
  /** The lowest value of every group, as in PyTorch and MMEngine: groups of different learning rates end at the same one. */
  readonly etaMin?: number;
  /** The lowest value as a share of the group's own, so that the ratios between groups stay. */
  readonly etaMinRatio?: number;
}

export const floorFields: Fields["fields"] = { "etaMin?": aFinite, "etaMinRatio?": aFactor };

export function checkFloor({ etaMin, etaMinRatio }: FloorOptions): readonly [string, string] | undefined {
  return etaMin !== undefined && etaMinRatio !== undefined
    ? ["etaMinRatio", "nothing beside etaMin"]
    : undefined;
}

export function floorOf({ etaMin, etaMinRatio = 0 }: FloorOptions, value: number): number {
  return etaMin ?? value * etaMinRatio;
}
