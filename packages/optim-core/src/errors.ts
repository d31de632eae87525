/**
 * The kind of an error, for machines. Codes are stable: a new one may be added in a minor version, none changes its meaning.
 *
 * | code | when |
 * | --- | --- |
 * | `invalid-option` | an option has a wrong type or value |
 * | `unknown-option` | an option name that nobody reads, misspelled perhaps |
 * | `invalid-hyperparameter` | a hyperparameter that the rule refuses, at construction or at an assignment to a group |
 * | `invalid-rule` | an update rule is malformed: a slot missing from what it returns, an expression used as a number |
 * | `unsupported` | the backend or the wrapped optimizer cannot do this; `capabilities` says so too |
 * | `invalid-parameter` | a parameter has the wrong type, dtype or length, or was disposed |
 * | `empty-parameters` | no parameter, or a group without one |
 * | `duplicate-parameter` | one parameter twice in one optimizer, by name or by identity |
 * | `unknown-parameter` | a name that is not a parameter of this optimizer |
 * | `arena-full` | the rule needs more room than the arena was made with |
 * | `invalid-loss` | the loss is not a function, or returned what this backend cannot differentiate |
 * | `no-gradient` | nothing that the loss returned depends on a parameter, or the host library has no gradients registered |
 * | `non-finite-gradient` | a gradient or its norm is not finite, and the options ask for an error |
 * | `window-open` | a change that is only possible between two accumulation windows |
 * | `count-exceeded` | a backward after the `maxCounts` that were announced |
 * | `reentrant` | a loss closure called what changes its own wrapper or reads the device |
 * | `disposed` | used after `dispose()` |
 * | `invalid-wrapper` | not an optimizer wrapper; the message names the missing members |
 * | `duplicate-wrapper` | one wrapper under two names of a dict, or one optimizer in two wrappers |
 * | `contract-mismatch` | made for another version of the interface than this package has; the message names both |
 * | `scaler-not-updated` | a shared loss scaler that nobody updates skips every step |
 * | `invalid-name` | a name that is empty or holds a `.` |
 * | `unknown-name` | a name that the dict does not hold, or a slot that no rule of the optimizer has |
 * | `ambiguous-wrapper` | a call on a dict that one of its wrappers must take |
 * | `invalid-state` | not a state dict, damaged, or of a version that this release cannot read |
 * | `state-mismatch` | a state dict of something else; `missing`, `unexpected` and `mismatched` list the names |
 * | `load-pending` | a second load while the first is staged |
 * | `evaluating` | a call that has to wait until the evaluation point was swapped out of the parameters |
 * | `gradients-changed` | gradients were written back after they changed since they were read |
 * | `device-lost` | the device is gone; make a new optimizer on a new one and load the last state |
 * | `device-error` | the device refused a command |
 * | `communication-error` | an exchange between ranks failed: a rank died, a buffer that cannot be sent, an error of the transport |
 * | `communication-timeout` | another rank did not take part in time |
 * | `communication-mismatch` | ranks of one job do different things: another order of optimizers, rule, shape, option or version |
 * | `replicas-differ` | ranks hold different parameters or state; `ranks` lists those that differ from the others |
 * | `launcher-mismatch` | started by the launcher of another MPI than the library that was loaded |
 * | `library-missing` | a native library or its binding is not installed |
 * | `storage-error` | a file could not be written or read: a full or read-only disk, a folder that is gone; `cause` is the system's error |
 */
export type OptimErrorCode =
  | "invalid-option"
  | "unknown-option"
  | "invalid-hyperparameter"
  | "invalid-rule"
  | "unsupported"
  | "invalid-parameter"
  | "empty-parameters"
  | "duplicate-parameter"
  | "unknown-parameter"
  | "arena-full"
  | "invalid-loss"
  | "no-gradient"
  | "non-finite-gradient"
  | "window-open"
  | "count-exceeded"
  | "reentrant"
  | "disposed"
  | "invalid-wrapper"
  | "duplicate-wrapper"
  | "contract-mismatch"
  | "scaler-not-updated"
  | "invalid-name"
  | "unknown-name"
  | "ambiguous-wrapper"
  | "invalid-state"
  | "state-mismatch"
  | "load-pending"
  | "evaluating"
  | "gradients-changed"
  | "device-lost"
  | "device-error"
  | "storage-error"
  | "communication-error"
  | "communication-timeout"
  | "communication-mismatch"
  | "replicas-differ"
  | "launcher-mismatch"
  | "library-missing";

export interface OptimErrorDetails {
  /** The expectation, in words: `"a positive integer"`. */
  readonly expected?: string;
  /** The value that came, as it came. */
  readonly received?: unknown;
  /** Advice, a sentence. */
  readonly hint?: string;
  /** The error that caused this one. */
  readonly cause?: unknown;
  /** With `state-mismatch`: names that the state lacks, has too many, and that differ (with the reason). */
  readonly missing?: readonly string[];
  readonly unexpected?: readonly string[];
  readonly mismatched?: readonly string[];
  /** With `communication-mismatch` and `replicas-differ`: the ranks that differ from the others; all, where there is no majority. */
  readonly ranks?: readonly number[];
}

const brand = /* @__PURE__ */ Symbol.for("@mm/OptimError");

/**
 * The one error class of these packages. Its message says who, what was expected, what came and what to do; wording is free to
 * change, `code` is not. Recognise it with {@link isOptimError}, which also works where two copies of this package are installed.
 */
export class OptimError extends Error {
  override readonly name = "OptimError";
  declare readonly code: OptimErrorCode;
  declare readonly expected?: string;
  declare readonly received?: unknown;
  declare readonly hint?: string;
  declare readonly missing?: readonly string[];
  declare readonly unexpected?: readonly string[];
  declare readonly mismatched?: readonly string[];
  declare readonly ranks?: readonly number[];

  /** `who` names the function or option that refuses: `"createOptimWrapper: accumulativeCounts"`. */
  constructor(code: OptimErrorCode, who: string, details: OptimErrorDetails = {}) {
    let message = who;
    if (details.expected) message += `: expected ${details.expected}`;
    if ("received" in details) message += `, got ${show(details.received)}`;
    if (details.hint) message += `. ${details.hint}`;
    super(message, details);
    Object.defineProperty(Object.assign(this, details, { code }), brand, { value: true });
  }
}

/**
 * Throws an {@link OptimError}: `who` expected something else than it received.
 *
 * @throws OptimError `code`, always
 */
export function refuse(
  code: OptimErrorCode,
  who: string,
  expected: string,
  received: unknown,
  details?: OptimErrorDetails,
): never {
  throw new OptimError(code, who, { expected, received, ...details });
}

/** Whether `error` is an {@link OptimError}, of this copy of the package or of another. */
export function isOptimError(error: unknown): error is OptimError {
  return brand in Object(error);
}

/** A short description of any value, of an object its class. Never prints a whole tensor, nor what is in an array in an array. */
function show(value: unknown, inner?: unknown): string {
  if (Array.isArray(value) && inner === undefined) return `[${value.slice(0, 8).map(show).join(", ")}]`;
  if (Object(value) === value) {
    const { constructor: { name = "Object" } = {} } = value as {
      readonly constructor?: { readonly name?: string };
    };
    return {}.toString.call(value).replace("Object]", `${name}]`);
  }
  return typeof value === "string" ? `"${value}"` : String(value);
}
