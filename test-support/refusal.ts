import { isOptimError, type OptimError } from "@mm/optim-core";

/** The OptimError that `run` throws, at once. Any other error goes through. */
export function thrownBy(run: () => unknown): OptimError {
  try {
    run();
  } catch (error) {
    if (isOptimError(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

/** The OptimError that `run` throws, or its promise rejects with. Any other error goes through. */
export async function refusal(run: () => unknown): Promise<OptimError> {
  try {
    await run();
  } catch (error) {
    if (isOptimError(error)) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
