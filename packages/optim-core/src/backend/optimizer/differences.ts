import { OptimError } from "../../errors.ts";
import type { LoadReport } from "../../state.ts";

/** The differences between a state and an optimizer, by name. */
export class Differences {
  /** Here, not in the state. */
  readonly missing: string[] = [];
  /** In the state, not here, or not taken. */
  readonly unexpected: string[] = [];
  /** In both, and not alike. With the reason. */
  readonly mismatched: string[] = [];
  /** In the state, not here, and no reason to refuse it. */
  readonly unknown: string[] = [];
  /** Other values, which a load is there to bring. */
  readonly changed: string[] = [];
  /** Hyperparameters that the state lacks. */
  readonly defaulted: string[] = [];

  /** Notes what is not alike. Returns whether it is not. */
  differs(what: string, saved: unknown, here: unknown): boolean {
    if (saved !== here) this.mismatched.push(`${what} ${String(saved)} saved, ${String(here)} here`);
    return saved !== here;
  }

  /** @throws OptimError `state-mismatch` */
  refuse(who: string): void {
    const { missing, unexpected, mismatched } = this;
    const problems = { missing, unexpected, mismatched };
    const found = Object.entries(problems).filter(([, names]) => names.length > 0);
    if (found.length === 0) return;
    const all = found.map(([what, names]) => `${what}: ${names.join(", ")}`).join("; ");
    throw new OptimError("state-mismatch", who, {
      expected: "the state of this optimizer",
      hint: `Nothing was changed; ${all}. Use rename, or strict: false`,
      ...problems,
    });
  }

  report(): LoadReport {
    const { missing, unexpected, mismatched, unknown, changed, defaulted } = this;
    return { missing, unexpected: [...unexpected, ...mismatched, ...unknown], changed, defaulted };
  }
}
