import type { HyperparameterRecord } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { DescribedParameter, ParameterKind } from "../model/model-kind.ts";

/** What was decided for one parameter. */
export interface PlannedParameter<P> {
  readonly parameter: DescribedParameter<P>;
  /** Other names of the same parameter. */
  readonly aliases: readonly string[];
  /** The name of its group. */
  readonly group: string;
  /** The hyperparameters that differ from the rule's. */
  readonly options: HyperparameterRecord;
  readonly frozen: boolean;
  /** The options that were followed, as they are called in the configuration. */
  readonly why: readonly string[];
}

/** What a plan is made from. */
export interface PlanRequest<P> {
  readonly parameters: readonly DescribedParameter<P>[];
  readonly rule: UpdateRule;
  /** The hyperparameters that are written in the configuration. */
  readonly written: HyperparameterRecord;
  /** Where the configuration of the wrapper stands: `config`. */
  readonly path: string;
}

export interface UniqueParameter<P> {
  readonly parameter: DescribedParameter<P>;
  readonly aliases: string[];
}

/** Each parameter once, under its first name. */
export function uniqueParameters<P>(
  parameters: readonly DescribedParameter<P>[],
): readonly UniqueParameter<P>[] {
  const found = new Map<unknown, UniqueParameter<P>>();
  for (const parameter of parameters) {
    const { identity = parameter.value } = parameter;
    const earlier = found.get(identity);
    if (earlier) earlier.aliases.push(parameter.name);
    else found.set(identity, { parameter, aliases: [] });
  }
  return [...found.values()];
}

/** One group of all parameters, as they are. */
export function planPlain<P>({ parameters }: PlanRequest<P>): readonly PlannedParameter<P>[] {
  return uniqueParameters(parameters).map(({ parameter, aliases }) => ({
    parameter,
    aliases,
    group: "0",
    options: {},
    frozen: parameter.frozen === true,
    why: [],
  }));
}

/** An option for a kind that no model tells would do nothing. @throws OptimError `unsupported` */
export function requireKind<P>(
  kind: ParameterKind,
  parameters: readonly DescribedParameter<P>[],
  where: string,
): void {
  if (parameters.some(({ tells }) => tells.includes(kind))) return;
  const told = [...new Set(parameters.flatMap(({ tells }) => tells))];
  refuse("unsupported", where, `a model that tells what is ${kind}`, told, {
    hint: "Match by name instead, or hand in a model kind that tells it",
  });
}
