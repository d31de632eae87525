import type { StateEngine } from "../engine.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { ParameterSet } from "./parameter-set.ts";
import type { PendingGradients } from "./pending-gradients.ts";
import type { SkipWatch } from "./skip-watch.ts";

/** The parts that an optimizer is made of. Its members pass them on; each part guards its own state. */
export interface OptimizerParts<P, V, S> {
  readonly engine: StateEngine<P, V, S>;
  /** The name of the rule that groups follow unless they name another. */
  readonly rule: string;
  readonly set: ParameterSet<P, V, S>;
  readonly pending: PendingGradients<P, V, S>;
  readonly lifecycle: Lifecycle;
  readonly skips: SkipWatch;
}
