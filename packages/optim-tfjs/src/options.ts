import type { SlotOptions } from "@mm/optim-core";
import { anything, checkSchema, oneOf } from "@mm/optim-core/schema";

export interface TfjsOptimizerOptions extends SlotOptions {
  /**
   * How the rule runs. `"auto"`: by fused kernels in place on tfjs-wasm and tfjs-cpu, by tfjs ops everywhere else and where the private
   * parts of these two are not as expected. `"ops"`: by tfjs ops in any case. `capabilities` tells which it is. Default `"auto"`.
   */
  readonly lowering?: "auto" | "ops";
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkedOptions(
  options: TfjsOptimizerOptions,
  who: string,
): TfjsOptimizerOptions & { readonly lowering: "auto" | "ops" } {
  checkSchema("invalid-option", who, options, {
    fields: { "lowering?": oneOf("auto", "ops"), "slotDtype?": anything },
  });
  return { ...options, lowering: options.lowering ?? "auto" };
}
