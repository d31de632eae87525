import type { HyperparameterRecord } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import type { DescribedParameter, ParameterKind } from "../model/model-kind.ts";

/** The decision for one parameter. */
export interface PlannedParameter<P> {
  readonly parameter: DescribedParameter<P>;
  /** Other names of the same parameter. */
  readonly aliases: readonly string[];
  /** The name of its group. */
  readonly group: string;
  /** The rule of its group, where it is not that of the wrapper. */
  readonly rule?: UpdateRule | undefined;
  /** The hyperparameters that differ from the rule's. */
  readonly options: HyperparameterRecord;
  readonly frozen: boolean;
  /** The options that were followed, as they are called in the configuration. */
  readonly why: readonly string[];
}

/** The decisions for all parameters of a wrapper. */
export interface Plan<P> {
  readonly planned: readonly PlannedParameter<P>[];
  /** The options that no parameter follows, with their path. */
  readonly unused: readonly string[];
}

/** The source of a plan. */
export interface PlanRequest<P> {
  readonly parameters: readonly DescribedParameter<P>[];
  readonly rule: UpdateRule;
  /** Of each entry of a list, the rule that it names. */
  readonly rules: readonly (UpdateRule | undefined)[];
  /** The hyperparameters that are written in the configuration. */
  readonly written: HyperparameterRecord;
  /** Where the configuration of the wrapper stands: `config`. */
  readonly path: string;
}

export interface UniqueParameter<P> {
  readonly parameter: DescribedParameter<P>;
  /** Its other names. */
  readonly aliases: readonly string[];
  /** All its places in the model, the first one first: an option is meant for it where it fits one of them. */
  readonly places: readonly DescribedParameter<P>[];
}

/** Each parameter once, under its first name. */
export function uniqueParameters<P>(
  parameters: readonly DescribedParameter<P>[],
): readonly UniqueParameter<P>[] {
  const found = new Map<unknown, DescribedParameter<P>[]>();
  for (const parameter of parameters) {
    const { identity = parameter.value } = parameter;
    const places = found.get(identity);
    if (places) places.push(parameter);
    else found.set(identity, [parameter]);
  }
  return [...found.values()].map((places) => {
    const [parameter, ...others] = places as [DescribedParameter<P>, ...DescribedParameter<P>[]];
    return { parameter, aliases: others.map(({ name }) => name), places };
  });
}

/** The name of the group that has all parameters. */
export const everything = "0";

/** One group of all parameters, as they are. */
export function planPlain<P>({ parameters }: PlanRequest<P>): Plan<P> {
  const planned = uniqueParameters(parameters).map(({ parameter, aliases, places }) => ({
    parameter,
    aliases,
    group: everything,
    options: {},
    frozen: isFrozen(places),
    why: [],
  }));
  return { planned, unused: [] };
}

/** Whether the model says so at one of the places. */
export const isFrozen = (places: readonly DescribedParameter<unknown>[]): boolean =>
  places.some(({ frozen }) => frozen === true);

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
