import { isOptimError, type OptimError } from "@mm/optim-core";
import { expect } from "vitest";

/** The error of this library that `run` throws. */
export function thrownBy(run: () => unknown): OptimError {
  try {
    run();
  } catch (error) {
    if (isOptimError(error)) return error;
    throw error;
  }
  return expect.fail("nothing was thrown");
}
