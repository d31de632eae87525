import { OptimError, type OptimErrorCode, refuse } from "./errors.ts";

/** The version of `Optimizer`, `OptimWrapper`, `LossScaler` and of the expressions of rules. Optional additions do not raise it. */
export const contractVersion = 1;

/**
 * Refuses what is not of the kind that is wanted, and what was made for another version of the contract.
 *
 * @param code the refusal of what is of another kind
 * @param hint what to do instead, of what came
 * @throws OptimError `code`, `contract-mismatch` with both versions
 */
export function requireContract(
  code: OptimErrorCode,
  who: string,
  kind: "optimizer" | "optim-wrapper" | "loss-scaler",
  value: unknown,
  hint?: string,
): void {
  const given = Object(value) as { readonly kind?: unknown; readonly contract?: unknown };
  if (given.kind !== kind) refuse(code, who, nameOf[kind], value, hint === undefined ? {} : { hint });
  requireVersion(`${who}: ${nameOf[kind]}`, given.contract);
}

/** @throws OptimError `contract-mismatch` */
export function requireVersion(who: string, version: unknown): void {
  if (version === contractVersion) return;
  throw new OptimError("contract-mismatch", who, {
    expected: `version ${contractVersion} of the contract of @mm/optim-core`,
    received: version,
    hint: "Two releases of @mm packages meet here. Install versions that belong together",
  });
}

const nameOf = {
  optimizer: "an optimizer",
  "optim-wrapper": "an optimizer wrapper",
  "loss-scaler": "a loss scaler",
} as const;
