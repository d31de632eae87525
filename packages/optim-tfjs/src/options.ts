import { OptimError } from "@mm/optim-core";

export interface TfjsOptimizerOptions {
  /**
   * How the rule runs. `"auto"`: by fused kernels in place on tfjs-wasm and tfjs-cpu, by tfjs ops everywhere else and where the private
   * parts of these two are not as expected. `"ops"`: by tfjs ops in any case. `capabilities` tells which it is. Default `"auto"`.
   */
  readonly lowering?: "auto" | "ops";
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkedLowering(options: TfjsOptimizerOptions, who: string): "auto" | "ops" {
  if (Object(options) !== options)
    throw new OptimError("invalid-option", `${who}: options`, { expected: "an object", received: options });
  for (const name of Object.keys(options)) {
    if (name !== "lowering")
      throw new OptimError("unknown-option", who, { expected: "lowering", received: name });
  }
  const { lowering = "auto" } = options;
  if ((lowering as string) === "auto" || (lowering as string) === "ops") return lowering;
  throw new OptimError("invalid-option", `${who}: lowering`, {
    expected: '"auto" or "ops"',
    received: lowering,
  });
}
