import type { HyperparameterRecord, HyperparameterValue } from "@mm/optim-core";
import { hyperparameterEntries, refuse } from "@mm/optim-core/backend";
import { resolveHyperparameters } from "@mm/optim-core/rule";
import type { ParamRule } from "../config.ts";
import { type CompiledMatcher, compileMatcher } from "../matcher.ts";
import { listNames } from "../model/describe-model.ts";
import { requireOptions } from "./options.ts";
import { isFrozen, type Plan, type PlanRequest, requireKind, uniqueParameters } from "./plan.ts";

interface CompiledRule {
  readonly label: string;
  readonly matcher: CompiledMatcher;
  readonly lrMult: number;
  readonly decayMult: number;
  readonly frozen: boolean | undefined;
  readonly hyperparameters: HyperparameterRecord;
}

/**
 * Options for single parameters by a list of rules, all of which are followed.
 *
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-hyperparameter`; `unknown-parameter` for a rule that asks for a name which
 * no parameter has; `unsupported` for a kind that the model does not tell
 */
export function planRules<P>(request: PlanRequest<P>, written: readonly ParamRule[]): Plan<P> {
  const path = `${request.path}.paramwise`;
  const rules = written.map((rule, index) => compileRule(request, rule, `${path}[${index}]`));
  const unique = uniqueParameters(request.parameters);
  for (const [index, { matcher }] of rules.entries()) {
    if (!matcher.names || request.parameters.some((place) => matcher.matches(place))) continue;
    refuse("unknown-parameter", `${path}[${index}].match`, "a match among the parameters", matcher.text, {
      hint: `There are ${listNames(request.parameters)}`,
    });
  }
  const groups = new Map<string, readonly CompiledRule[]>();
  const unused = new Set(rules);
  const planned = unique.map(({ parameter, aliases, places }) => {
    const followed = rules.filter(({ matcher }) => places.some((place) => matcher.matches(place)));
    for (const rule of followed) unused.delete(rule);
    const why = followed.map(({ label }) => label);
    const group = why.join(" + ") || "others";
    const before = groups.get(group) ?? followed;
    if (
      followed.some((candidate, index) => candidate !== before[index]) ||
      followed.length !== before.length
    ) {
      refuse("invalid-option", path, "rules whose names make different names of groups", group);
    }
    groups.set(group, followed);
    const frozen = followed.flatMap((candidate) => candidate.frozen ?? []);
    return {
      parameter,
      aliases,
      group,
      options: combine(request, followed, `${path}: ${group}`),
      frozen: frozen.at(-1) ?? isFrozen(places),
      why,
    };
  });
  return { planned, unused: [...unused].map((rule) => `${path}[${rules.indexOf(rule)}]`) };
}

function compileRule<P>(
  { parameters, rule }: PlanRequest<P>,
  written: ParamRule,
  path: string,
): CompiledRule {
  const { match, name, frozen, lrMult = 1, decayMult, ...hyperparameters } = written;
  const matcher = compileMatcher(match, `${path}.match`);
  for (const kind of matcher.kinds) requireKind(kind, parameters, `${path}.match`);
  const defaults = hyperparameterEntries(rule.hyperparameters);
  if (decayMult !== undefined && defaults["weightDecay"] === undefined) {
    refuse("unknown-option", `${path}.decayMult`, `a rule with weightDecay`, rule.name);
  }
  const others = ["match", "name", "frozen", "lrMult", "decayMult"];
  return {
    label: name ?? matcher.text,
    matcher,
    lrMult,
    decayMult: decayMult ?? 1,
    frozen,
    hyperparameters: requireOptions(hyperparameters, rule, others, path),
  };
}

function combine<P>(
  { rule }: PlanRequest<P>,
  followed: readonly CompiledRule[],
  who: string,
): HyperparameterRecord {
  const options: Record<string, HyperparameterValue> = {};
  for (const { hyperparameters } of followed) Object.assign(options, hyperparameters);
  const base = { ...hyperparameterEntries(rule.hyperparameters), ...options };
  resolveHyperparameters(rule.definition, base, {}, who);
  const product = (factor: "lrMult" | "decayMult"): number =>
    followed.reduce((result, candidate) => result * candidate[factor], 1);
  const [lrMult, decayMult] = [product("lrMult"), product("decayMult")];
  if (lrMult !== 1) options["lr"] = (base["lr"] as number) * lrMult;
  if (decayMult !== 1) options["weightDecay"] = (base["weightDecay"] as number) * decayMult;
  return options;
}
