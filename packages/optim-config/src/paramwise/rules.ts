import type { HyperparameterRecord, HyperparameterValue } from "@mm/optim-core";
import { hyperparameterEntries, memo, refuse } from "@mm/optim-core/backend";
import { resolveHyperparameters, type UpdateRule } from "@mm/optim-core/rule";
import type { AnyParamRule } from "../config.ts";
import { type CompiledMatcher, compileMatcher } from "../matcher.ts";
import { listNames } from "../model/describe-model.ts";
import { requireOptions } from "./options.ts";
import { isFrozen, type Plan, type PlanRequest, requireKind, uniqueParameters } from "./plan.ts";

interface CompiledRule {
  /** `config.paramwise[0]` */
  readonly path: string;
  readonly label: string;
  readonly matcher: CompiledMatcher;
  readonly lrMult: number;
  readonly decayMult: number;
  readonly frozen: boolean | undefined;
  readonly rule: UpdateRule | undefined;
  readonly hyperparameters: HyperparameterRecord;
}

/** The parameters that the same rules match, and what follows for all of them. */
interface FollowedGroup {
  readonly followed: readonly CompiledRule[];
  readonly rule: UpdateRule | undefined;
  readonly options: HyperparameterRecord;
  readonly frozen: boolean | undefined;
}

/**
 * Options for single parameters by a list of rules, all of which are followed.
 *
 * @throws OptimError `invalid-option`, `unknown-option`, `invalid-hyperparameter`; `unknown-parameter` for a rule that asks for a name which
 * no parameter has; `unsupported` for a kind that the model does not tell
 */
export function planRules<P>(request: PlanRequest<P>, written: readonly AnyParamRule[]): Plan<P> {
  const path = `${request.path}.paramwise`;
  const rules = written.map((rule, index) => compileRule(request, rule, index));
  const unique = uniqueParameters(request.parameters);
  for (const [index, { matcher }] of rules.entries()) {
    if (!matcher.names || request.parameters.some((place) => matcher.matches(place))) continue;
    refuse("unknown-parameter", `${path}[${index}].match`, "a match among the parameters", matcher.text, {
      hint: `There are ${listNames(request.parameters)}`,
    });
  }
  const groups = new Map<string, FollowedGroup>();
  const unused = new Set(rules);
  const planned = unique.map(({ parameter, aliases, places }) => {
    const followed = rules.filter(({ matcher }) => places.some((place) => matcher.matches(place)));
    for (const rule of followed) unused.delete(rule);
    const why = followed.map(({ label }) => label);
    const group = why.join(" + ") || "others";
    const known = memo(groups, group, () => join(request.rule, followed, `${path}: ${group}`));
    if (
      followed.some((candidate, index) => candidate !== known.followed[index]) ||
      followed.length !== known.followed.length
    ) {
      refuse("invalid-option", path, "rules whose names make different names of groups", group);
    }
    const { rule, options, frozen = isFrozen(places) } = known;
    return { parameter, aliases, group, rule, options, frozen, why };
  });
  return { planned, unused: Array.from(unused, ({ path: place }) => place) };
}

function compileRule<P>(request: PlanRequest<P>, written: AnyParamRule, index: number): CompiledRule {
  const { parameters, rule: base, rules } = request;
  const path = `${request.path}.paramwise[${index}]`;
  const { match, name, frozen, rule: _, lrMult = 1, decayMult, ...hyperparameters } = written;
  const matcher = compileMatcher(match, `${path}.match`);
  for (const kind of matcher.kinds) requireKind(kind, parameters, `${path}.match`);
  const own = rules[index];
  // An entry without a rule may be meant for the parameters of another entry's.
  const candidates = own === undefined ? [base, ...rules.filter((rule) => rule !== undefined)] : [own];
  const needed = [...Object.keys(hyperparameters), ...(decayMult === undefined ? [] : ["weightDecay"])];
  const has = (rule: UpdateRule): boolean =>
    needed.every((option) => Object.hasOwn(rule.hyperparameters, option));
  const likely = candidates.find(has) ?? own ?? base;
  const options = requireOptions(hyperparameters, likely, others, path);
  requireDecay(likely, decayMult, path);
  return {
    path,
    label: name ?? matcher.text,
    matcher,
    lrMult,
    decayMult: decayMult ?? 1,
    frozen,
    rule: own,
    hyperparameters: options,
  };
}

const others = ["match", "name", "frozen", "rule", "lrMult", "decayMult"];

function requireDecay(rule: UpdateRule, decayMult: number | undefined, path: string): void {
  if (decayMult === undefined || Object.hasOwn(rule.hyperparameters, "weightDecay")) return;
  refuse("unknown-option", `${path}.decayMult`, `a rule with weightDecay`, rule.name);
}

/** @param base the rule of the wrapper */
function join(base: UpdateRule, followed: readonly CompiledRule[], who: string): FollowedGroup {
  const rule = followed.flatMap((candidate) => candidate.rule ?? []).at(-1);
  const frozen = followed.flatMap((candidate) => candidate.frozen ?? []).at(-1);
  return { followed, rule, options: combine(rule ?? base, followed, who), frozen };
}

/** The options of parameters that follow `rule` and these entries. */
function combine(rule: UpdateRule, followed: readonly CompiledRule[], who: string): HyperparameterRecord {
  const options: Record<string, HyperparameterValue> = {};
  for (const { hyperparameters, decayMult, path } of followed) {
    requireOptions(hyperparameters, rule, others, path);
    requireDecay(rule, decayMult === 1 ? undefined : decayMult, path);
    Object.assign(options, hyperparameters);
  }
  const base = { ...hyperparameterEntries(rule.hyperparameters), ...options };
  resolveHyperparameters(rule.definition, base, {}, who);
  const product = (factor: "lrMult" | "decayMult"): number =>
    followed.reduce((result, candidate) => result * candidate[factor], 1);
  const [lrMult, decayMult] = [product("lrMult"), product("decayMult")];
  if (lrMult !== 1) options["lr"] = (base["lr"] as number) * lrMult;
  if (decayMult !== 1) options["weightDecay"] = (base["weightDecay"] as number) * decayMult;
  return options;
}
