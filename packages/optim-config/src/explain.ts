import type { AnyOptimWrapper } from "@mm/optim-core";
import { namedWrappers, type WrappersInput } from "@mm/optim-core/backend";
import { originsOf } from "./origin.ts";

/** The settings of one parameter, as of the call. */
export interface ExplainedParameter {
  /** The name of its wrapper, where there are several. */
  readonly wrapper?: string;
  readonly parameter: string;
  /** Other names under which the model has the same parameter. */
  readonly aliases: readonly string[];
  readonly shape: readonly number[];
  readonly group: string;
  readonly rule: string;
  readonly lr: number;
  /** Absent where the rule has none. */
  readonly weightDecay?: number;
  /** The bytes of its slots: 4 an element and slot, 2 in bfloat16. Absent where the optimizer does not say. */
  readonly slotBytes?: number;
  readonly frozen: boolean;
  /**
   * Which options of the configuration were followed: `customKeys["backbone"]`, `normDecayMult`, or the names of the rules of a list. Empty:
   * none fitted, or the wrapper was not built from a configuration.
   */
  readonly why: readonly string[];
}

/** A row for every parameter. */
export interface Explanation extends ReadonlyArray<ExplainedParameter> {
  /**
   * The options for single parameters that none of them follows, with their path: `config.paramwise.customKeys["backbnoe"]`. Misspelled,
   * perhaps, or overruled by a longer key.
   */
  readonly unused: readonly string[];
}

/**
 * The settings of every parameter of a wrapper, or of all wrappers of a dict: group, rule, learning rate, decay, bytes of its slots, frozen or not, and why. Does
 * not wait for the device.
 *
 * ```ts
 * console.log(formatExplanation(explain(optim)));
 * ```
 */
export function explain(wrappers: WrappersInput): Explanation {
  const all = namedWrappers("explain", wrappers);
  const rows = all.flatMap(([name, wrapper]) =>
    explainWrapper(wrapper).map((row) => (name === undefined ? row : { wrapper: name, ...row })),
  );
  const unused = all.flatMap(([, wrapper]) => originsOf(wrapper)?.unused ?? []);
  // Not a row: whoever prints or compares the rows has the rows alone.
  return Object.defineProperty(rows, "unused", { value: unused }) as typeof rows & {
    readonly unused: readonly string[];
  };
}

function explainWrapper(wrapper: AnyOptimWrapper): readonly ExplainedParameter[] {
  const { optimizer, paramGroups } = wrapper;
  const origins = originsOf(wrapper);
  const frozen = new Set(optimizer.frozen);
  const groups = new Map(paramGroups.map((group) => [group.name, group]));
  return optimizer.parameters.map(({ name, shape, group, rule = optimizer.rule, slotBytes }) => {
    const { lr = Number.NaN, weightDecay } = (groups.get(group) ?? {}) as {
      readonly lr?: number;
      readonly weightDecay?: number;
    };
    const { why = [], aliases = [] } = origins?.parameters.get(name) ?? {};
    return {
      parameter: name,
      aliases,
      shape,
      group,
      rule,
      lr,
      ...(weightDecay !== undefined && { weightDecay }),
      ...(slotBytes !== undefined && { slotBytes }),
      frozen: frozen.has(name),
      why,
    };
  });
}

/** The same as a table of text, for a terminal; below it, the options that no parameter follows. */
export function formatExplanation(rows: readonly ExplainedParameter[] | Explanation): string {
  const { unused = [] } = rows as Partial<Explanation>;
  const several = rows.some(({ wrapper }) => wrapper !== undefined);
  const cells = rows.map(
    ({ wrapper = "", parameter, aliases, shape, group, rule, lr, weightDecay, slotBytes, frozen, why }) => [
      ...(several ? [wrapper] : []),
      [parameter, ...aliases].join(" = "),
      shape.join(" × ") || "scalar",
      group,
      rule,
      short(lr),
      weightDecay === undefined ? "" : short(weightDecay),
      slotBytes === undefined ? "" : String(slotBytes),
      frozen ? "yes" : "",
      why.join(", "),
    ],
  );
  const titles = [
    ...(several ? ["wrapper"] : []),
    "parameter",
    "shape",
    "group",
    "rule",
    "lr",
    "decay",
    "slot bytes",
    "frozen",
    "why",
  ];
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const table = [titles, widths.map((width) => "─".repeat(width)), ...cells].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [...table, ...unused.map((option) => `no parameter follows ${option}`)].join("\n");
}

/** Six digits: 0.0125 × 0.2 is 0.0025, not 0.0025000000000000005. */
const short = (value: number): string => String(Number(value.toPrecision(6)));
