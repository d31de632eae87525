import type { AnyOptimizer } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";

/** @throws OptimError `invalid-option` */
export function requireOptimizer(optimizer: AnyOptimizer, who: string): void {
  if ((Object(optimizer) as { readonly kind?: unknown }).kind !== "optimizer") {
    refuse("invalid-option", `${who}: optimizer`, "an optimizer", optimizer);
  }
}
