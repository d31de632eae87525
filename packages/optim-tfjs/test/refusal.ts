import { isOptimError, type OptimError } from "@mm/optim-core";

/** The OptimError that a call throws. */
export function refusal(call: () => unknown): OptimError {
  try {
    call();
  } catch (error) {
    if (isOptimError(error)) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
