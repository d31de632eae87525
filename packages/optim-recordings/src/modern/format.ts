import type { GoldenCase, GoldenGradients, GoldenMeta, OptimizerCase } from "../format.ts";

/**
 * An optimizer of another library than PyTorch, recorded from its authors' code: files whose `meta.format` is `"1-modern"`. As the kind
 * `optimizer`, with one or two groups of any parameters, and:
 */
export interface ModernCase extends OptimizerCase {
  /** Where the code came from: repository and commit. */
  readonly source: string;
  /** The counter of the steps. `"group"`: a tensor without a gradient goes along. */
  readonly stepCounter: "tensor" | "group" | "optimizer" | "none";
  /** In which precision matrices were orthogonalized. */
  readonly newtonSchulz?: "float32" | "bfloat16";
  /** How far the authors' float32 strays from float64. */
  readonly maxAbsDiffVsFloat64: number;
  readonly special?: "schedulefree" | "sam" | "sophia" | "average" | "agc";
  readonly agc?: { readonly clip_factor?: number; readonly eps?: number };
  readonly average?: { readonly every?: number; readonly decay?: number };
  readonly steps: readonly ModernStep[];
}

export type ModernStep = OptimizerCase["steps"][number] & {
  /** With `special: "sam"`: the gradients at the perturbed point. */
  readonly grads2?: GoldenGradients;
  /** With `special: "sam"`: the perturbed point. */
  readonly perturbed?: OptimizerCase["steps"][number]["after"];
  /** With `special: "average"`: the averages after the step. */
  readonly averaged?: OptimizerCase["steps"][number]["after"];
  /** With `special: "schedulefree"`: what the authors' `eval()` puts into the parameters. */
  readonly eval?: OptimizerCase["steps"][number]["after"];
  /** Numbers of each group after the step, by the authors' names. */
  readonly scalars?: readonly { readonly [name: string]: number }[];
};

export function isModern(recorded: GoldenCase, meta: GoldenMeta): recorded is ModernCase {
  return meta.format === "1-modern" && recorded.kind === "optimizer";
}
