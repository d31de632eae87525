import { isOptimError, type OptimError } from "@mm/optim-core";

/** The error that `run` throws, or its promise rejects with. */
export async function refusal(run: () => unknown): Promise<OptimError> {
  try {
    await run();
  } catch (error) {
    if (isOptimError(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
