import type { AnyOptimWrapper } from "@mm/optim-core";
import type { PlannedParameter } from "./paramwise/plan.ts";

/** Why a parameter has the options that it has. */
interface Origin {
  readonly why: readonly string[];
  readonly aliases: readonly string[];
}

/** Where the options of a wrapper's parameters came from. */
export interface Origins {
  readonly parameters: ReadonlyMap<string, Origin>;
  /** The options of the configuration that no parameter follows. */
  readonly unused: readonly string[];
}

// On the wrapper itself, so that another copy of this package finds it.
const key = "@mm/optim-config: origins";

/** Notes on a wrapper where the options of its parameters came from. */
export function keepOrigins(
  wrapper: AnyOptimWrapper,
  planned: readonly PlannedParameter<unknown>[],
  unused: readonly string[],
): void {
  const parameters = new Map(
    planned.map(({ parameter, why, aliases }) => [parameter.name, { why, aliases }]),
  );
  const origins: Origins = { parameters, unused };
  Object.defineProperty(wrapper, Symbol.for(key), { value: origins });
}

/** `undefined` for what was not built from a configuration. */
export function originsOf(wrapper: AnyOptimWrapper): Origins | undefined {
  return (wrapper as unknown as { readonly [symbol: symbol]: Origins | undefined })[Symbol.for(key)];
}
