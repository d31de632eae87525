import { refuse } from "@mm/optim-core/backend";
import { numberOf } from "./file-names.ts";

/** Which checkpoints stay: the newest, and one of so many saves for good. */
export interface KeepOptions {
  /** The newest that are whole. At least 1; `Infinity` for all. */
  readonly newest: number;
  /** Those whose number is a multiple of it stay too, however old. An integer of at least 1. Default: none of them. */
  readonly every?: number;
}

export interface Keep {
  readonly newest: number;
  /** Whether a file stays for good. */
  readonly forGood: (name: string) => boolean;
}

/** @throws OptimError `invalid-option`, `unknown-option` */
export function checkedKeep(keep: number | KeepOptions): Keep {
  const who = "openCheckpoints: keep";
  if (typeof keep === "number") return { newest: checkedNewest(keep, who), forGood: () => false };
  if (typeof keep !== "object" || (keep as unknown) === null)
    return refuse("invalid-option", who, "an integer of at least 1, or { newest, every }", keep);
  const { newest, every, ...others } = keep;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) refuse("unknown-option", who, "newest, every", unknown);
  checkedNewest(newest, `${who}.newest`);
  if (every === undefined) return { newest, forGood: () => false };
  if (!Number.isSafeInteger(every) || every < 1)
    refuse("invalid-option", `${who}.every`, "an integer of at least 1", every);
  return { newest, forGood: (name) => (numberOf(name) as bigint) % BigInt(every) === 0n };
}

function checkedNewest(newest: unknown, who: string): number {
  if (newest === Number.POSITIVE_INFINITY || (Number.isSafeInteger(newest) && (newest as number) >= 1))
    return newest as number;
  return refuse("invalid-option", who, "an integer of at least 1", newest);
}
