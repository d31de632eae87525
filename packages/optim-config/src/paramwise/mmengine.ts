import type { HyperparameterRecord, HyperparameterValue } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import type { ParamOptions, Paramwise } from "../config.ts";
import type { ParameterKind } from "../model/model-kind.ts";
import { memberPath } from "../schema/json-schema.ts";
import { isFrozen, type Plan, type PlanRequest, requireKind, uniqueParameters } from "./plan.ts";
import { requireOptions } from "./options.ts";

type Factors = Omit<Paramwise, "customKeys" | "bypassDuplicate">;

interface Decision {
  readonly options: HyperparameterRecord;
  readonly why: readonly string[];
}

/** The use of each factor: the kinds of which a model has to tell at least one, and the hyperparameter that it multiplies. */
const factors: {
  readonly [K in keyof Factors]-?: readonly [kind: ParameterKind, target: "lr" | "weightDecay"];
} = {
  biasLrMult: ["bias", "lr"],
  dcnOffsetLrMult: ["offset", "lr"],
  normDecayMult: ["norm", "weightDecay"],
  biasDecayMult: ["bias", "weightDecay"],
  dwconvDecayMult: ["depthwise", "weightDecay"],
  flatDecayMult: ["flat", "weightDecay"],
};

/**
 * Options for single parameters as `DefaultOptimWrapperConstructor` of MMEngine 0.11 gives them, one group per parameter. A frozen
 * parameter is in the optimizer as any other is.
 *
 * @throws OptimError `invalid-option` for a factor of what is not written, `unsupported` for one of a kind that the model does not tell,
 * `unknown-option`, `invalid-hyperparameter`, `duplicate-parameter`
 */
export function planMmengine<P>(request: PlanRequest<P>, options: Paramwise): Plan<P> {
  const { customKeys = {}, bypassDuplicate = false, ...mults } = options;
  const keys = sortedKeys(customKeys);
  checkOptions(request, mults, customKeys);
  const planned = uniqueParameters(request.parameters).map(({ parameter, aliases, places }) => {
    if (aliases.length > 0 && !bypassDuplicate) {
      refuse(
        "duplicate-parameter",
        `${request.path}.paramwise`,
        "each parameter under one name",
        [parameter.name, ...aliases],
        {
          hint: "With bypassDuplicate: true it counts under its first name",
        },
      );
    }
    const key = keys.find((candidate) => places.some(({ name }) => searched(name).includes(candidate)));
    const kinds = new Set(places.flatMap((place) => place.kinds));
    const decision = key === undefined ? byKind(kinds, mults, request) : byKey(key, customKeys, request);
    return { parameter, aliases, group: parameter.name, frozen: isFrozen(places), ...decision };
  });
  const followed = new Set(planned.flatMap(({ why }) => why));
  const written = [...keys.map(keyLabel), ...Object.keys(mults)];
  const unused = written.filter((label) => !followed.has(label));
  return { planned, unused: unused.map((label) => `${request.path}.paramwise.${label}`) };
}

const keyLabel = (key: string): string => `customKeys[${JSON.stringify(key)}]`;

/** MMEngine searches `prefix.name`, also where the prefix is empty. */
const searched = (name: string): string => (name.includes(".") ? name : `.${name}`);

const sortedKeys = (customKeys: object): readonly string[] =>
  Object.keys(customKeys).sort((a, b) => b.length - a.length || (a < b ? -1 : 1));

function byKey<P>(
  key: string,
  customKeys: { readonly [key: string]: ParamOptions<object> },
  { written }: PlanRequest<P>,
): Decision {
  const { lrMult = 1, decayMult = 1, ...hyperparameters } = customKeys[key] ?? {};
  const { lr, weightDecay } = written as { readonly lr: number; readonly weightDecay?: number };
  return {
    options: {
      lr: lr * lrMult,
      ...(weightDecay !== undefined && { weightDecay: weightDecay * decayMult }),
      ...(hyperparameters as HyperparameterRecord),
    },
    why: [keyLabel(key)],
  };
}

function byKind<P>(
  kinds: ReadonlySet<ParameterKind>,
  { biasLrMult, dcnOffsetLrMult, normDecayMult, biasDecayMult, dwconvDecayMult, flatDecayMult }: Factors,
  { written }: PlanRequest<P>,
): Decision {
  const is = (kind: ParameterKind): boolean => kinds.has(kind);
  const options: Record<string, HyperparameterValue> = {};
  const why: string[] = [];
  const multiply = (target: "lr" | "weightDecay", factor: number, name: keyof Factors): void => {
    options[target] = (written[target] as number) * factor;
    why.push(name);
  };
  if (is("offset") && dcnOffsetLrMult !== undefined) multiply("lr", dcnOffsetLrMult, "dcnOffsetLrMult");
  else if (is("bias") && !is("norm") && !is("offset") && biasLrMult !== undefined) {
    multiply("lr", biasLrMult, "biasLrMult");
  }
  if (is("norm") && normDecayMult !== undefined) multiply("weightDecay", normDecayMult, "normDecayMult");
  else if (is("bias") && !is("offset") && biasDecayMult !== undefined) {
    multiply("weightDecay", biasDecayMult, "biasDecayMult");
  } else if (is("depthwise") && dwconvDecayMult !== undefined) {
    multiply("weightDecay", dwconvDecayMult, "dwconvDecayMult");
  } else if (is("flat") && !is("offset") && flatDecayMult !== undefined) {
    multiply("weightDecay", flatDecayMult, "flatDecayMult");
  }
  return { options, why };
}

function checkOptions<P>(
  { parameters, rule, written, path }: PlanRequest<P>,
  mults: Factors,
  customKeys: { readonly [key: string]: ParamOptions<object> },
): void {
  const needs = (target: "lr" | "weightDecay", because: string): void => {
    if (written[target] !== undefined) return;
    refuse(
      "invalid-option",
      `${path}.optimizer.${target}`,
      `a number, which ${because} multiplies`,
      undefined,
    );
  };
  for (const name of Object.keys(mults) as (keyof Factors)[]) {
    const [kind, target] = factors[name];
    needs(target, `${path}.paramwise.${name}`);
    requireKind(kind, parameters, `${path}.paramwise.${name}`);
  }
  for (const [key, { lrMult: _, decayMult, ...hyperparameters }] of Object.entries(customKeys)) {
    const at = memberPath(`${path}.paramwise.customKeys`, key);
    needs("lr", at);
    if (decayMult !== undefined) needs("weightDecay", `${at}.decayMult`);
    requireOptions(hyperparameters, rule, ["lrMult", "decayMult"], at);
  }
}
