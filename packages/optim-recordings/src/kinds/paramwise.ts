import type { AnyOptimWrapper } from "@mm/optim-core";
import {
  buildOptimWrapper,
  type ModelKind,
  type ModelParameter,
  type OptimWrapperConfig,
} from "@mm/optim-config";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import type { ParamwiseCase, TorchModule } from "../format.ts";
import type { Bench } from "../subject.ts";
import { camelCase, hyperparametersOf, type RulesByName, rulesByName } from "../torch.ts";

/** MMEngine's constructor of optimizers: which groups a model and its options for single parameters make. */
export async function runParamwise<P, Loss extends LossClosure, LossValue>(
  recorded: ParamwiseCase,
  { factory, rules }: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const values = new Map<number, P>();
  const valueOf = (id: number, shape: readonly number[]): P => {
    const length = shape.reduce((product, side) => product * side, 1);
    const value = values.get(id) ?? factory.createParameter(new Float32Array(length), shape);
    values.set(id, value);
    return value;
  };
  try {
    const wrapper = buildOptimWrapper(recorded.model, configOf(recorded), {
      optimizer: (rule, groups) => factory.createOptimizer(rule, groups),
      rules: registry(recorded.optimizer.type, rules),
      models: [torchModule(valueOf)],
    });
    if (recorded.error) checks.refusal("error", undefined, recorded.error.message);
    else compareGroups(checks, wrapper, recorded);
    wrapper.dispose();
  } catch (error) {
    if (recorded.error) checks.refusal("error", error, recorded.error.message);
    else checks.unexpected("error", error);
  }
  for (const value of values.values()) factory.disposeParameter?.(value);
  return checks;
}

function compareGroups(
  checks: Checks,
  wrapper: AnyOptimWrapper,
  { groups = [], getLr, getMomentum, basePresent, nParamGroupsSeenByScheduler, model }: ParamwiseCase,
): void {
  const { paramGroups, baseParamSettings } = wrapper;
  checks.exact("groups.length", paramGroups.length, groups.length);
  for (const [index, { params, options }] of groups.entries()) {
    const group = paramGroups[index];
    const at = `groups[${index}]`;
    checks.exact(`${at}.params`, group?.params, params);
    // MMEngine also leaves the factors of a custom key on its group, where nobody reads them.
    const { lr_mult: _, decay_mult: __, ...read } = options;
    for (const [name, value] of Object.entries(hyperparametersOf(read))) {
      const ours = (group as object as Readonly<Record<string, unknown>> | undefined)?.[name];
      if (typeof value === "number" || Array.isArray(value)) {
        checks.hyperparameter(`${at}.${name}`, [ours].flat() as number[], [value].flat() as number[]);
      } else if (value !== null && (ours !== undefined || value)) checks.exact(`${at}.${name}`, ours, value);
    }
  }
  checks.hyperparameter("getLr.lr", wrapper.getLr().lr, getLr?.lr);
  checks.hyperparameter("getLr.base_lr", wrapper.getLr().baseLr, getLr?.base_lr);
  checks.hyperparameter("getMomentum", wrapper.getMomentum().momentum, getMomentum?.momentum);
  checks.exact("basePresent", baseParamSettings !== undefined, basePresent);
  const driven = paramGroups.length + Number(baseParamSettings !== undefined);
  checks.exact("nParamGroupsSeenByScheduler", driven, nParamGroupsSeenByScheduler);
  const frozen = [...parametersOf(model)].flatMap(({ name, requiresGrad }) => (requiresGrad ? [] : [name]));
  checks.exact("frozen", wrapper.optimizer.frozen, frozen);
}

function configOf({ optimizer, paramwiseCfg }: ParamwiseCase): OptimWrapperConfig {
  const { type, ...args } = optimizer;
  return {
    optimizer: { type: type.toLowerCase(), ...hyperparametersOf(args) },
    ...(paramwiseCfg && { paramwise: camelCased(paramwiseCfg) }),
  };
}

/** With the keys of options under our names; those of `custom_keys` are names of parameters. */
function camelCased(options: object): object {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]: [string, unknown]) => {
      const isKeys = name === "custom_keys" && typeof value === "object" && !Array.isArray(value);
      return [camelCase(name), isKeys ? byKey(value as Readonly<Record<string, object>>) : value];
    }),
  );
}

const byKey = (keys: Readonly<Record<string, object>>): object =>
  Object.fromEntries(Object.entries(keys).map(([key, options]) => [key, camelCased(options)]));

function registry(type: string, more: RulesByName): RulesByName {
  const name = type.toLowerCase();
  const all = rulesByName(more);
  const factory = all[name];
  // Of an unknown optimizer the configuration has to say so by itself.
  return factory ? { [name]: factory } : { sgd: all["sgd"] as NonNullable<typeof factory> };
}

interface TorchParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly requiresGrad: boolean;
  readonly id: number;
  readonly module: TorchModule;
}

/** Own parameters first, then those of the children. */
function* parametersOf(module: TorchModule, prefix = ""): Generator<TorchParameter, void, undefined> {
  for (const parameter of module.params) yield { ...parameter, name: prefix + parameter.name, module };
  for (const { name, module: child } of module.children) yield* parametersOf(child, `${prefix}${name}.`);
}

function torchModule<P>(valueOf: (id: number, shape: readonly number[]) => P): ModelKind<TorchModule, P> {
  return {
    name: "module of PyTorch",
    kinds: ["bias", "norm", "depthwise", "offset", "flat"],
    accepts: (model) => Array.isArray((model as Partial<TorchModule>).params),
    *parameters(model) {
      for (const { name, shape, requiresGrad, id, module } of parametersOf(model)) {
        const { type, in_channels: inputs, groups } = module;
        const kinds: ModelParameter["kinds"][number][] = [];
        if (/(^|\.)bias$/.test(name)) kinds.push("bias");
        if (/^(Sync|Lazy)?BatchNorm|^(Lazy)?InstanceNorm|^GroupNorm$|^LayerNorm$/.test(type))
          kinds.push("norm");
        if (type === "Conv2d" && inputs === groups) kinds.push("depthwise");
        if (shape.length === 1) kinds.push("flat");
        yield { name, value: valueOf(id, shape), identity: id, kinds, frozen: !requiresGrad };
      }
    },
  };
}
