import type { HyperparameterRecord } from "@mm/optim-core";
import type { Program } from "@mm/optim-core/backend";

/** Words of the statics of a program: what `prepare` gets from the host because it depends on hyperparameters alone. */
export function staticWords(_program: Program): number {
  throw new Error("not written yet");
}

/** Evaluates the statics in float64 and writes them, as pairs, from word `at` on. */
export function writeStatics(
  _program: Program,
  _hyperparameters: HyperparameterRecord,
  _words: Float32Array,
  _at: number,
): void {
  throw new Error("not written yet");
}
