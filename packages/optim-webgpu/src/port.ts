import type { NamedParameter, Parameter, ParameterDescription } from "@mm/optim-core/backend";
import type { DType } from "./storage.ts";

/** Where a parameter is: a range of a buffer with the usages STORAGE, COPY_SRC and COPY_DST. */
export interface ParameterRange {
  readonly buffer: GPUBuffer;
  /** In bytes, a multiple of 4. */
  readonly offset: number;
  /** In elements. */
  readonly length: number;
  /** `"float16"`: two in a word of 4 bytes, the first in its lower half. */
  readonly dtype: DType;
  /**
   * Whether the bytes that follow, up to the next multiple of 16, belong to the parameter and are zero, as those of an arena are. Kernels then
   * work on whole vectors of four at the end as well, and write zeros there.
   */
  readonly padded: boolean;
}

/**
 * How an optimizer reaches parameters of a kind `P`: buffers of the caller's, or the variables of a host library. The optimizer writes
 * into them in place, by commands that it submits to the device's queue; it never frees them.
 */
export interface ParameterPort<P> {
  /**
   * Shape and identity of a parameter, and whether it is in float16 (`master: true`).
   *
   * @param where names the parameter in errors
   * @throws OptimError `invalid-parameter` for what is no live data on this device, or more than it binds at once (`requireRoom`)
   */
  describe(value: P, where: string): ParameterDescription;
  /** The last word on parameters that are about to be added. See `Engine.admit`. */
  admit?(added: readonly NamedParameter<P>[], call: string): void;
  /** Where it is now. Called at every step where `moves`, so it should cost no more than a look-up. Of an empty one, any buffer will do. */
  resolve(value: P): ParameterRange;
  /**
   * Whether parameters may be in another buffer from one step to the next, each alone in its own. Where they are not, those that share a
   * buffer share a dispatch.
   */
  readonly moves: boolean;
  /**
   * Called at the beginning of a step, and of a write from the host, before anything is recorded: makes parameters ready to be written
   * (what shares memory with one gets a copy), or refuses those that are gone. Where it throws, nothing has changed.
   *
   * @throws OptimError `invalid-parameter`
   */
  claim?(parameters: readonly Pick<Parameter<P, unknown, unknown>, "name" | "value">[]): void;
  /** Called before anything is submitted: submits what the host library has recorded and not submitted, which comes first. */
  flush?(): void;
  /** Called when commands were submitted that write into parameters. */
  written?(values: readonly P[]): void;
}
