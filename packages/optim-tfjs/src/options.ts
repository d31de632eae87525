import { checkSchema, oneOf } from "@mm/optim-core/schema";

export interface TfjsOptimizerOptions {
  /**
   * How the rule runs. `"auto"`: by fused kernels in place on tfjs-wasm and tfjs-cpu, by tfjs ops everywhere else and where the private
   * parts of these two are not as expected. `"ops"`: by tfjs ops in any case. `capabilities` tells which it is. Default `"auto"`.
   */
  readonly lowering?: "auto" | "ops";
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkedLowering(options: TfjsOptimizerOptions, who: string): "auto" | "ops" {
  checkSchema("invalid-option", who, options, { fields: { "lowering?": oneOf("auto", "ops") } });
  return options.lowering ?? "auto";
}
