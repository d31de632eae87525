import type { SlotDtype } from "./options.ts";

/**
 * The capabilities of an optimizer, as plain data. The conformance kit skips by it and by nothing else, and callers may read it to choose.
 * Everything that is not named here is required of every backend: accumulation, missing gradients, live learning rates, state round
 * trips, `dispose`, coded errors.
 */
export interface Capabilities {
  /**
   * `"host"`: the step knows at once whether it was skipped. `"device"`: the device decides, the step only enqueues, and
   * `readMetrics()` tells.
   */
  readonly decides: "host" | "device";
  /**
   * Whether the step writes into the parameters' own storage. `false`: it makes new storage (an ops lowering), or it works on a copy
   * because the host library's private parts are not as expected.
   */
  readonly inPlace: boolean;
  /**
   * Whether a rule is a kernel of its own, which reads and writes each parameter once. `false`: it runs operation by operation, because
   * the device or the host library's private parts allow no more. Absent: the backend does not say.
   */
  readonly fused?: boolean;
  /**
   * Whether slots, pending gradients and scalars are float32. `false`: they are what the host library has, half floats on tfjs-webgl by
   * operations where the device renders no float32: squares of small gradients are 0 there. Absent: they are float32.
   */
  readonly float32State?: boolean;
  /** Whether any update rule runs. `false` for a wrapped optimizer of the host library, which is a rule of its own. */
  readonly rules: boolean;
  /** Whether every hyperparameter of a group is live. `false`: `lr` alone is, and assigning another throws `unsupported`. */
  readonly liveHyperparameters: boolean;
  /** Whether several parameter groups are possible. */
  readonly groups: boolean;
  /** Whether a parameter without a gradient is left alone. `false`: the wrapped optimizer decides. */
  readonly perParameterSteps: boolean;
  /** Whether the state dict of another backend loads. `false`: only one of the same kind does. */
  readonly portableState: boolean;
  /** Whether `readGradients`, `writeGradients`, `readParameters` and `writeParameters` work. */
  readonly transfer: boolean;
  /** How slots can be kept, see {@link SlotOptions}. Absent: in float32 alone. */
  readonly slotDtypes?: readonly SlotDtype[];
  /**
   * Largest parameter, in elements. Use `Infinity` where memory is the only limit.
   */
  readonly maxParameterLength: number;
}
