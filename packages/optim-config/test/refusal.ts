import { isOptimError, type OptimError } from "@mm/optim-core";

/** The error that `run` throws. */
export function refusal(run: () => unknown): OptimError {
  try {
    run();
  } catch (error) {
    if (isOptimError(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
