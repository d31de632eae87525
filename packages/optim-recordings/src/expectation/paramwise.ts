import type { ParamwiseCase, TorchModule, TorchOptions, TorchValue } from "../format.ts";

interface Leaf {
  readonly name: string;
  readonly local: string;
  readonly prefix: string;
  readonly module: TorchModule;
  readonly shape: readonly number[];
  readonly requiresGrad: boolean;
  readonly id: number;
}

/**
 * The groups of a paramwise case, straight from the description of `DefaultOptimWrapperConstructor`. `withoutFrozen` is MMEngine's way:
 * with options, frozen parameters are left out of the optimizer; ours are in it.
 */
export function expectParamwise(recorded: ParamwiseCase, withoutFrozen = false): ParamwiseCase {
  const { model, optimizer, paramwiseCfg, groups = [] } = recorded;
  const { type: _, ...args } = optimizer;
  // Values that the optimizer fills in by itself are the same for all groups. The factors of a custom key stay on its group, where nobody reads them.
  const { lr_mult: __, decay_mult: ___, ...filledIn } = groups[0]?.options ?? {};
  const defaults = { ...filledIn, ...args };
  const seen = new Set<number>();
  const unique = leaves(model, "").filter(({ id }) => !seen.has(id) && seen.add(id));
  if (!paramwiseCfg || Object.keys(paramwiseCfg).length === 0) return recorded;
  const all = unique
    .filter(({ requiresGrad }) => requiresGrad || !withoutFrozen)
    .map((leaf) => ({
      params: [leaf.name],
      paramIds: [leaf.id],
      options: { ...defaults, ...optionsOf(leaf, args, paramwiseCfg) },
    }));
  const column = (of: (options: TorchOptions) => TorchValue | undefined): number[] =>
    all.map(({ options }) => Number(of(options)));
  const momentum = column(
    ({ momentum, betas }) => momentum ?? (betas as readonly number[] | undefined)?.[0] ?? 0,
  );
  return {
    ...recorded,
    groups: all,
    getLr: { ...recorded.getLr, lr: column(({ lr }) => lr) },
    getMomentum: { momentum },
    nParamGroupsSeenByScheduler: all.length + 1,
  };
}

const leaves = (module: TorchModule, prefix: string): readonly Leaf[] => [
  ...module.params.map(({ name, ...rest }) => ({
    ...rest,
    name: prefix === "" ? name : `${prefix}.${name}`,
    local: name,
    prefix,
    module,
  })),
  ...module.children.flatMap(({ name, module: child }) =>
    leaves(child, prefix === "" ? name : `${prefix}.${name}`),
  ),
];

function optionsOf(
  { prefix, local, module, shape }: Leaf,
  args: TorchOptions,
  cfg: TorchOptions,
): TorchOptions {
  const [lr, decay] = [args["lr"] as number, args["weight_decay"] as number | undefined];
  const customKeys = (cfg["custom_keys"] ?? {}) as unknown as Readonly<Record<string, TorchOptions>>;
  const [longest] = Object.keys(customKeys)
    .filter((key) => `${prefix}.${local}`.includes(key))
    .sort()
    .sort((a, b) => b.length - a.length);
  if (longest !== undefined) {
    const { lr_mult: lrMult = 1, decay_mult: decayMult = 1, ...others } = customKeys[longest] as TorchOptions;
    return {
      lr: lr * Number(lrMult),
      ...(decay !== undefined && { weight_decay: decay * Number(decayMult) }),
      ...others,
    };
  }
  const isNorm = /BatchNorm|InstanceNorm|GroupNorm|LayerNorm/.test(module.type);
  const isBias = local === "bias";
  const isDepthwise = module.type === "Conv2d" && module.in_channels === module.groups;
  const decayMult = [
    isNorm && cfg["norm_decay_mult"],
    isBias && cfg["bias_decay_mult"],
    isDepthwise && cfg["dwconv_decay_mult"],
    shape.length === 1 && cfg["flat_decay_mult"],
  ].find((mult) => typeof mult === "number");
  const lrMult = isBias && !isNorm ? cfg["bias_lr_mult"] : undefined;
  return {
    ...(typeof lrMult === "number" && { lr: lr * lrMult }),
    ...(decay !== undefined && decayMult !== undefined && { weight_decay: decay * decayMult }),
  };
}
