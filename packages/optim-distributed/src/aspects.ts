import type { AnyOptimizer, AnyOptimWrapper, StepOptions } from "@mm/optim-core";
import type { Aspects } from "./agreement.ts";

/** The aspects by which two optimizers hold the same, so that a state can be copied between them. */
function aspectsOfLayout({ parameters, rule, paramGroups, contract }: AnyOptimizer): Aspects {
  return {
    "contract of @mm/optim-core": String(contract),
    rules: exact([rule, parameters.map((parameter) => parameter.rule)]),
    "names of parameters": exact(parameters.map(({ name }) => name)),
    "shapes of parameters": exact(parameters.map(({ shape }) => shape)),
    "groups of parameters": exact(paramGroups.map(({ name, params }) => [name, params])),
  };
}

/** The aspects by which two optimizers do the same with the same gradients. */
export function aspectsOfOptimizer(optimizer: AnyOptimizer): Aspects {
  const { paramGroups, baseParamSettings } = optimizer;
  return { ...aspectsOfLayout(optimizer), hyperparameters: exact([paramGroups, baseParamSettings]) };
}

/** The facts about a group before it is added: shapes are seen when the backend takes the parameters. */
export function aspectsOfGroup(group: Parameters<AnyOptimizer["addParamGroup"]>[0]): Aspects {
  const { params, rule, ...settings } = Object(group) as {
    readonly params?: unknown;
    readonly rule?: { readonly name?: unknown; readonly hyperparameters?: unknown };
  };
  return {
    "names of added parameters": exact(Object.keys(Object(params) as object)),
    "rule of an added group": exact([rule?.name, rule?.hyperparameters]),
    "settings of an added group": exact(settings),
  };
}

/** How a wrapper steps. `lossScaler` by its settings: its scale is state. */
export function aspectsOfStep({ clipGrad, onNonFinite, gradNorm, lossScaler }: StepOptions): Aspects {
  return {
    "clipGrad, onNonFinite and gradNorm": exact([clipGrad, onNonFinite, gradNorm]),
    "presence of a loss scaler": String(lossScaler !== undefined),
  };
}

/** The aspects by which the wrappers of two programs are the same, so that the state of one fits the other. Hyperparameters are state. */
export function aspectsOfWrappers(members: readonly (readonly [string, AnyOptimWrapper])[]): Aspects {
  const optimizers = members.map(([, { optimizer }]) => aspectsOfLayout(optimizer));
  const [first] = optimizers;
  const of = (words: string): string => exact(optimizers.map((aspects) => aspects[words]));
  return {
    "names and order of wrappers": exact(members.map(([name]) => name)),
    ...Object.fromEntries(Object.keys(first ?? {}).map((words) => [words, of(words)])),
    "accumulativeCounts and loss scaling": exact(
      members.map(([, wrapper]) => [wrapper.accumulativeCounts, wrapper.lossScaler !== undefined]),
    ),
  };
}

/** JSON, in which numbers that are not finite differ too. */
function exact(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === "number" && !Number.isFinite(item) ? String(item) : item,
  );
}
