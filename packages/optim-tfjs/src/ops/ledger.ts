import { OptimError } from "@mm/optim-core";
import type { Parameter } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { operand, readScalars, SharedScalar, type StepScalar } from "../scalar.ts";
import type { Value } from "./value.ts";
import type { TensorCell } from "./tensor-cell.ts";

type LedgerParameter = Parameter<tf.Variable, TensorCell, StepScalar>;

/** The counts of an optimizer, and the scalars on the device that it is responsible for, whoever computes its steps. */
export class Ledger {
  readonly #parameters = new Set<LedgerParameter>();
  /** Every shared scalar that was made for a step and is still referred to, one ownership each. */
  readonly #owned = new Set<SharedScalar>();
  /** Whether a step that finds what is not finite is an error. */
  orThrow = false;
  gradNorm: StepScalar | undefined;
  /** Whether the gradients of the last step were finite. */
  finite: StepScalar | undefined;
  /** Steps that were asked for, and among them those that were skipped. */
  asked = 0;
  skipped: StepScalar = 0;
  /** Above 0 once a step that had to be an error was skipped. */
  failed: StepScalar = 0;

  /** A scalar that outlives the step. */
  own(value: Value): StepScalar {
    return typeof value === "number" ? value : this.adopt(new SharedScalar(value));
  }

  /** Takes over one ownership. */
  adopt(scalar: SharedScalar): SharedScalar {
    this.#owned.add(scalar);
    return scalar;
  }

  /** Parameters whose step counts and scalar slots it looks after. */
  take(items: readonly { readonly parameter: LedgerParameter }[]): void {
    for (const { parameter } of items) this.#parameters.add(parameter);
  }

  /** Counts a step by whether it was taken, 1 or 0; absent where nothing could skip it. */
  count(finite: StepScalar | undefined): void {
    this.prepareCount(finite)();
  }

  /** The same in two halves: computes the counts, and returns what puts them in place, which cannot fail. */
  prepareCount(finite: StepScalar | undefined): () => void {
    const isCounted = finite !== undefined && finite !== 1;
    const skipped = isCounted ? this.own(added(this.skipped, finite)) : this.skipped;
    const failed = isCounted && this.orThrow ? this.own(added(this.failed, finite)) : this.failed;
    return () => {
      this.asked += 1;
      this.skipped = skipped;
      this.failed = failed;
    };
  }

  /** Lets go of the scalars that nothing here refers to any more. A load replaces steps and slots without saying so. */
  release(): void {
    const live = new Set<StepScalar | undefined>([this.gradNorm, this.finite, this.skipped, this.failed]);
    for (const { step, scalarSlots } of this.#parameters) {
      live.add(step);
      for (const slot of scalarSlots.values()) live.add(slot);
    }
    for (const scalar of this.#owned) {
      if (live.has(scalar)) continue;
      scalar.release();
      this.#owned.delete(scalar);
    }
  }

  async readMetrics(): Promise<{
    readonly gradNorm?: number;
    readonly steps: number;
    readonly skipped: number;
  }> {
    const { asked } = this;
    const hasNorm = this.gradNorm !== undefined;
    const reading = readScalars([this.skipped, this.failed, this.gradNorm ?? 0]);
    this.failed = 0;
    const [skipped = 0, failed = 0, gradNorm = 0] = await reading;
    if (failed > 0) {
      throw nonFinite(
        "a step since the last read",
        "It was skipped: parameters and state are as they were before it",
      );
    }
    return { ...(hasNorm && { gradNorm }), steps: asked - skipped, skipped };
  }

  writeCounts({ steps, skipped }: { readonly steps: number; readonly skipped: number }): void {
    this.asked = steps + skipped;
    this.skipped = skipped;
  }

  dispose(): void {
    for (const scalar of this.#owned) scalar.release();
    this.#owned.clear();
  }
}

/** A count of skipped steps with this one, whose `finite` is 1 or 0. */
function added(count: StepScalar, finite: StepScalar): Value {
  if (typeof count === "number" && typeof finite === "number") return count + 1 - finite;
  return tf.add(operand(count), tf.sub(1, operand(finite)));
}

export function nonFinite(who: string, hint: string): OptimError {
  return new OptimError("non-finite-gradient", who, { expected: "finite gradients", hint });
}
