import { SharedSlots } from "../backend/optimizer/shared-slots.ts";
import type { SharedSlot } from "./slots.ts";

/**
 * Declares a scalar slot of one number for all tensors of the rule in an optimizer (Prodigy's step size). It moves once a step, whichever tensors
 * take it: its next value may read hyperparameters, other shared slots and what {@link total} sums up, and nothing of one tensor alone. The
 * hyperparameters that it reads must be the same in all groups of the rule.
 *
 * @param initial what it holds before the first step
 */
export const shared = (initial: number): SharedSlot => ({ shared: SharedSlots, initial });
