import {
  type AnyOptimWrapper,
  createAmpOptimWrapper,
  createOptimWrapper,
  type LossScalerStateDict,
  type OptimWrapper,
  type OptimWrapperOptions,
} from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import { compareBaseSettings, compareState } from "../compare-state.ts";
import type { DictProbeCase, GoldenTensor, ProbedWrapper, TorchStateDict } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";

/** Questions to a dict of two wrappers. One that we do not know fails. */
export async function runDictProbe<P, Loss extends LossClosure, LossValue>(
  { wrappers, probes }: DictProbeCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const workshop = new Workshop(wrappers, bench);
  for (const [name, probe] of Object.entries(probes)) {
    const at = `probes.${name}`;
    const ask = questions<P, Loss, LossValue>()[name];
    if (ask === undefined) {
      checks.note(at, "no such probe is known");
      continue;
    }
    let value: unknown;
    let caught: unknown;
    try {
      value = await ask(workshop, { checks, at, probe: "value" in probe ? probe.value : undefined });
    } catch (error) {
      caught = error;
    }
    if ("error" in probe) checks.refusal(at, caught, probe.error.type);
    else if (caught !== undefined) checks.unexpected(at, caught);
    else checks.exact(at, value ?? null, probe.value);
    workshop.clear();
  }
  return checks;
}

type Answer<P, Loss extends LossClosure, LossValue> = (
  workshop: Workshop<P, Loss, LossValue>,
  context: { readonly checks: Checks; readonly at: string; readonly probe: unknown },
) => unknown;

function questions<P, Loss extends LossClosure, LossValue>(): Readonly<
  Record<string, Answer<P, Loss, LossValue>>
> {
  type Ask = Answer<P, Loss, LossValue>;
  const call =
    (method: string, ...given: readonly unknown[]): Ask =>
    ({ dict }) =>
      (dict() as unknown as Record<string, (...given: readonly unknown[]) => unknown>)[method]?.(...given);
  const absent =
    (member: string): Ask =>
    ({ dict }) =>
      member in dict() ? `has ${member}` : null;
  const options =
    (given: object): Ask =>
    ({ wrapper }) =>
      wrapper("disc", given).kind;
  const amp =
    (given: object): Ask =>
    ({ amp }) =>
      amp(given).kind;
  const load =
    (change: (wrappers: Record<string, unknown>) => Record<string, unknown>): Ask =>
    async ({ dict }) => {
      const state = await dict().stateDict();
      await dict().loadStateDict({
        ...state,
        wrappers: change({ ...state.wrappers }) as typeof state.wrappers,
      });
    };
  return {
    keys: ({ dict }) => [...dict().keys()],
    len: ({ dict }) => dict().size,
    contains_gen: ({ dict }) => dict().has("gen"),
    contains_x: ({ dict }) => dict().has("x"),
    get_lr: ({ dict }) => snakeKeys(dict().getLr()),
    get_momentum: ({ dict }) => snakeKeys(dict().getMomentum()),
    async state_dict({ dict, names }, { checks, at, probe }) {
      const { wrappers } = await dict().stateDict();
      for (const [name, recorded] of Object.entries(probe as Record<string, TorchStateDict>)) {
        const { optimizer } = wrappers[name] as (typeof wrappers)[string];
        compareState(checks, `${at}.${name}`, optimizer, recorded, names(name));
        compareBaseSettings(
          checks,
          `${at}.${name}`,
          optimizer.baseParamSettings,
          recorded.base_param_settings,
        );
      }
      return probe;
    },
    repr: ({ dict }) => [...dict().keys()].filter((name) => dict().toString().includes(name)),
    repr_single: ({ wrapper }) => wrapper("gen").optimizer.rule,
    param_groups_lengths: ({ dict }) =>
      Object.fromEntries(Object.entries(dict().paramGroups).map(([name, groups]) => [name, groups.length])),
    getitem_missing: call("get", "nope"),
    update_params: call("updateParams", () => 0),
    backward: call("backward", () => 0),
    step: call("step"),
    optim_context: call("optimContext", () => 0),
    initialize_count_status: call("initializeCountStatus", { initCounts: 0, maxCounts: 10 }),
    zero_grad: call("zeroGrad"),
    inner_count: absent("innerCount"),
    defaults: absent("defaults"),
    should_update: absent("shouldUpdate"),
    should_sync: absent("shouldSync"),
    scale_loss: absent("lossFactor"),
    construct_with_optimizer: ({ wrapper }) =>
      new OptimWrapperDict({ a: wrapper("gen").optimizer as unknown as AnyOptimWrapper }),
    construct_empty_len: () => new OptimWrapperDict({}).size,
    nested_allowed_len: ({ dict }) =>
      new OptimWrapperDict({ inner: dict() as unknown as AnyOptimWrapper }).size,
    nested_get_lr: ({ dict }) =>
      new OptimWrapperDict({ inner: dict() as unknown as AnyOptimWrapper }).getLr(),
    load_unknown_name: load((wrappers) => ({ ...wrappers, zzz: wrappers["gen"] })),
    load_missing_name_is_silent: load(({ gen }) => ({ gen })),
    load_empty_is_silent: load(() => ({})),
    async load_mutates_input_base_param_settings_left({ dict }) {
      const state = await dict().stateDict();
      await dict().loadStateDict(state);
      return Object.values(state.wrappers).some(({ optimizer }) => optimizer.baseParamSettings !== undefined);
    },
    load_group_count_mismatch: load(({ gen }) => ({ gen, disc: gen })),
    async load_group_size_mismatch({ wrapper }) {
      const state = await wrapper("gen").stateDict();
      const params = state.optimizer.params.slice(1);
      await wrapper("gen").loadStateDict({ ...state, optimizer: { ...state.optimizer, params } });
    },
    wrapper_acc_zero: options({ accumulativeCounts: 0 }),
    wrapper_clip_list: options({ clipGrad: [1] }),
    wrapper_clip_empty: options({ clipGrad: {} }),
    wrapper_clip_type_only: options({ clipGrad: { type: "norm" } }),
    wrapper_clip_bad_type: options({ clipGrad: { type: "x", maxNorm: 1 } }),
    amp_bad_loss_scale: amp({ lossScale: "unknown" }),
    amp_int_loss_scale: amp({ lossScale: 512 }),
    amp_bad_dtype: amp({ dtype: "int8" }),
    amp_bad_dtype_obj: amp({ dtype: 3 }),
    amp_use_fsdp_old_torch: amp({ useFsdp: true }),
    async amp_state_dict_keys({ amp }) {
      const { optimizer, lossScaler } = await amp({}).stateDict();
      const present = {
        state: optimizer.params,
        param_groups: optimizer.groups,
        base_param_settings: optimizer.baseParamSettings,
        loss_scaler: lossScaler,
      };
      return Object.entries(present).flatMap(([name, part]) => (part === undefined ? [] : [name]));
    },
    amp_loss_scaler_state: async ({ amp }) => scalerState((await amp({}).stateDict()).lossScaler),
    amp_loss_scaler_static_state: async ({ amp }) =>
      scalerState((await amp({ lossScale: 512 }).stateDict()).lossScaler),
  };
}

/** Makes the wrappers of the case afresh for every question. */
class Workshop<P, Loss extends LossClosure, LossValue> {
  readonly #recorded: Readonly<Record<string, ProbedWrapper>>;
  readonly #bench: Bench<P, Loss, LossValue>;
  readonly #made: { dispose(): void }[] = [];

  constructor(recorded: Readonly<Record<string, ProbedWrapper>>, bench: Bench<P, Loss, LossValue>) {
    this.#recorded = recorded;
    this.#bench = bench;
  }

  readonly names = (name: string): readonly string[] => {
    const { params, groups } = this.#recorded[name] as ProbedWrapper;
    return groups?.flatMap((group) => group.params) ?? params?.map((parameter) => parameter.name) ?? [];
  };

  readonly wrapper = (name: string, options?: object): OptimWrapper<Loss, LossValue> => {
    const { accumulativeCounts = 1 } = this.#recorded[name] as ProbedWrapper;
    return this.#keep(createOptimWrapper(this.#subject(name), { accumulativeCounts, ...options }));
  };

  /** In two groups, as the one that was recorded. */
  readonly amp = (options: OptimWrapperOptions | object): OptimWrapper<Loss, LossValue> =>
    this.#keep(createAmpOptimWrapper(this.#subject("disc"), options));

  readonly dict = (): OptimWrapperDict<Record<string, OptimWrapper<Loss, LossValue>>> => {
    const names = Object.keys(this.#recorded);
    return new OptimWrapperDict(Object.fromEntries(names.map((name) => [name, this.wrapper(name)])));
  };

  clear(): void {
    for (const made of this.#made.splice(0)) made.dispose();
  }

  #subject(name: string): OptimWrapper<Loss, LossValue>["optimizer"] {
    const { optimizer, params, groups } = this.#recorded[name] as ProbedWrapper;
    const names = this.names(name);
    const known = params ?? Object.values(this.#recorded).find((other) => other.params)?.params ?? [];
    const init = names.map((wanted): readonly [string, GoldenTensor] => {
      return [wanted, known.find((parameter) => parameter.name === wanted) ?? { shape: [1], data: [0] }];
    });
    return this.#keep(
      new RecordedSubject(this.#bench, optimizer, groups ?? [{ params: names }], Object.fromEntries(init)),
    ).optimizer;
  }

  #keep<T extends { dispose(): void }>(made: T): T {
    // Wrappers before their parameters.
    this.#made.unshift(made);
    return made;
  }
}

function snakeKeys(record: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [name.replace(/Lr$/, "_lr"), value as unknown]),
  );
}

function scalerState(state: LossScalerStateDict | undefined): Record<string, unknown> {
  return {
    scale: state?.scale,
    growth_factor: state?.growthFactor,
    backoff_factor: state?.backoffFactor,
    growth_interval: state?.growthInterval,
    _growth_tracker: state?.growthTracker,
  };
}
