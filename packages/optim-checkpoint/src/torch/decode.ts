import {
  type AnyOptimWrapper,
  type GroupState,
  type LossScalerStateDict,
  type OptimWrapperStateDict,
  type ParameterState,
} from "@mm/optim-core";
import { hyperparameterEntries, refuse } from "@mm/optim-core/backend";
import { checkSchema } from "@mm/optim-core/schema";
import { decodeSafetensors } from "../decode.ts";
import { fromJson } from "../json.ts";
import { splitKey } from "../keys.ts";
import type { ProgressOptions } from "../progress.ts";
import type { ByteInput } from "../source.ts";
import type { SavedState } from "../state.ts";
import { type FileTensor, toFloat32 } from "../tensor.ts";
import { membersOf, type OptimWrappers } from "../wrappers.ts";
import {
  camelCase,
  impliedScalars,
  scalarSlots,
  torchFormat,
  type TorchLossScaler,
  torchSchema,
  type TorchState,
} from "./format.ts";
import { torchHyperparameters } from "./hyperparameters.ts";

export interface TorchStateOptions extends ProgressOptions {
  /** The name here of the parameter that PyTorch calls `torchName`, in a dict of the wrapper `wrapper`. */
  readonly rename?: (torchName: string, wrapper?: string) => string;
  /** Backward calls that were made before, which PyTorch does not save: MMEngine's iteration. Default 0. */
  readonly innerCount?: number;
}

/** The states that PyTorch saved of several optimizers, a file each, which are one here: Muon's and AdamW's, say, whose groups have rules of their own. */
export interface TorchParts {
  readonly parts: readonly ByteInput[];
}

/**
 * The state that PyTorch saved of an optimizer, or MMEngine of an `OptimWrapper`, `AmpOptimWrapper` or `OptimWrapperDict`, exported with
 * `python/optim_state.py`, as a state dict of `optim`. Nothing changes; load it with `optim.loadStateDict(state)`, strict or not.
 *
 * Slots and hyperparameters go by PyTorch's names in camelCase (`exp_avg` → `expAvg`). Options that choose an implementation (`foreach`,
 * `fused`), the names of parameters (`param_names`) and what schedulers left behind (`initial_lr`, `max_lr`, `swa_lr`) are passed over. Shapes
 * stay: a weight that is [out, in] there has to be so here. Groups of Muon's that say `use_muon` must follow Muon here, or not, as they do there.
 *
 * @param input a file, or with `parts` those of several optimizers that are one here
 * @throws OptimError `invalid-state` for another file; `state-mismatch` for wrappers that are not here, and for Adam with decoupled weight
 * decay, which is `adamw()`; `storage-error` where reading fails
 */
export async function decodeTorchState(
  input: ByteInput | TorchParts,
  optim: OptimWrappers,
  options: TorchStateOptions = {},
): Promise<SavedState> {
  const files = isParts(input) ? input.parts : [input];
  if (files.length === 0) refuse("invalid-option", "decodeTorchState: parts", "a file or more", files);
  const read: ReadonlyMap<string, FileTensor>[] = [];
  const states: unknown[] = [];
  for (const file of files) {
    const { tensors, metadata } = await decodeSafetensors(file, options);
    const text = metadata.get(torchFormat);
    if (text === undefined) {
      const expected = `${torchFormat} in the metadata, as optim_state.py writes it`;
      refuse("invalid-state", "decodeTorchState", expected, [...metadata.keys()]);
    }
    read.push(tensors);
    states.push(fromJson(text, torchFormat));
  }
  const slots = slotsByParameter(read);
  const members = membersOf(optim);
  const [first] = states;
  const isOne = members[0] !== undefined && members[0].name === undefined;
  const plain = states.length === 1 ? first : isOne ? joined(states) : joinedByWrapper(states);
  const convert = (part: unknown, wrapper: AnyOptimWrapper, name?: string): OptimWrapperStateDict => {
    checkSchema("invalid-state", name ?? torchFormat, part, torchSchema());
    return wrapperState(part as TorchState, wrapper, slots, { ...options, name });
  };
  const [single] = members;
  if (single !== undefined && single.name === undefined) return convert(plain, single.wrapper);

  checkSchema("invalid-state", torchFormat, plain, { each: torchSchema() });
  const parts = new Map(Object.entries(plain as { readonly [name: string]: TorchState }));
  const unexpected = [...parts.keys()].filter((name) => members.every((member) => member.name !== name));
  if (unexpected.length > 0) {
    refuse(
      "state-mismatch",
      "decodeTorchState",
      members.map(({ name }) => name).join(", "),
      [...parts.keys()],
      { unexpected },
    );
  }
  const wrappers = members.flatMap(({ name = "", wrapper }) =>
    parts.has(name) ? [[name, convert(parts.get(name), wrapper, name)] as const] : [],
  );
  return { format: "optim-wrapper-dict", version: 1, wrappers: Object.fromEntries(wrappers) };
}

/** By key without the slot, then by slot. */
type Slots = ReadonlyMap<string, ReadonlyMap<string, FileTensor>>;

const isParts = (input: ByteInput | TorchParts): input is TorchParts =>
  Array.isArray((Object(input) as Partial<TorchParts>).parts);

/** The states of several optimizers as one. */
function joined(states: readonly unknown[]): TorchState {
  for (const state of states) checkSchema("invalid-state", torchFormat, state, torchSchema());
  const all = states as readonly TorchState[];
  const groups = all.flatMap(({ param_groups }) => param_groups);
  const names = groups.flatMap(({ params }) => params);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    const expected = "every parameter in one of the parts";
    refuse("state-mismatch", "decodeTorchState: parts", expected, `${JSON.stringify(twice)} in two`);
  }
  return Object.assign({}, ...[...all].reverse(), { param_groups: groups }) as TorchState;
}

function joinedByWrapper(states: readonly unknown[]): { readonly [name: string]: TorchState } {
  const byName = new Map<string, unknown[]>();
  for (const state of states) {
    checkSchema("invalid-state", torchFormat, state, { each: torchSchema() });
    for (const [name, part] of Object.entries(state as object)) {
      const parts = byName.get(name) ?? [];
      byName.set(name, [...parts, part]);
    }
  }
  return Object.fromEntries([...byName].map(([name, parts]) => [name, joined(parts)]));
}

function slotsByParameter(files: readonly ReadonlyMap<string, FileTensor>[]): Slots {
  const slots = new Map<string, Map<string, FileTensor>>();
  for (const [key, tensor] of files.flatMap((tensors) => [...tensors])) {
    const names = splitKey(key);
    const parameter = JSON.stringify(names.slice(0, -1));
    const known = slots.get(parameter) ?? new Map<string, FileTensor>();
    slots.set(parameter, known.set(names.at(-1) as string, tensor));
  }
  return slots;
}

function wrapperState(
  { param_groups: groups, base_param_settings: baseSettings, loss_scaler: scaler }: TorchState,
  { optimizer, paramGroups }: AnyOptimWrapper,
  slots: Slots,
  {
    name,
    rename = (torchName) => torchName,
    innerCount = 0,
  }: TorchStateOptions & { readonly name: string | undefined },
): OptimWrapperStateDict {
  const known = new Map(optimizer.parameters.map((parameter) => [parameter.name, parameter]));
  const params = groups.flatMap((group) =>
    group.params.map((torchName) => {
      const current = rename(torchName, name);
      const found = slots.get(JSON.stringify(name === undefined ? [torchName] : [name, torchName]));
      const { shape, rule = optimizer.rule } = known.get(current) ?? {};
      return parameterState(current, found ?? new Map(), shape, rule);
    }),
  );
  const base = { rule: optimizer.rule, values: hyperparameterEntries(optimizer.defaults) };
  const groupStates = groups.map(({ params: torchNames, ...options }, index): GroupState => {
    const members = torchNames.map((torchName) => rename(torchName, name));
    // Theirs have no names.
    const here = paramGroups.find((group) => group.params.some((parameter) => members.includes(parameter)));
    if (here === undefined) {
      return { name: String(index), params: members, hyperparameters: torchHyperparameters(options, base) };
    }
    const { name: group, params: all, ...values } = here;
    const rule = known.get(all[0] as string)?.rule;
    const followed = { rule: rule ?? base.rule, values: hyperparameterEntries(values) };
    return {
      name: group,
      params: members,
      ...(rule !== undefined && { rule }),
      hyperparameters: torchHyperparameters(options, followed),
    };
  });
  return {
    format: "optim-wrapper",
    version: 1,
    optimizer: {
      format: "optim-optimizer",
      version: groupStates.some(({ rule }) => rule !== undefined) ? 2 : 1,
      rule: optimizer.rule,
      groups: groupStates,
      ...(baseSettings && { baseParamSettings: torchHyperparameters(baseSettings, base) }),
      params,
      steps: params.reduce((most, { step }) => Math.max(most, step), 0),
      skipped: 0,
    },
    counts: { innerCount, windowStart: innerCount, weightSum: 0 },
    ...(scaler && { lossScaler: lossScalerState(scaler) }),
  };
}

function parameterState(
  name: string,
  found: ReadonlyMap<string, FileTensor>,
  shape: readonly number[] | undefined,
  rule: string,
): ParameterState {
  const slots: (readonly [string, Float32Array])[] = [];
  const scalars: (readonly [string, number])[] = [];
  let step = 0;
  let own = shape;
  for (const [torchSlot, tensor] of found) {
    const values = toFloat32(tensor);
    if (torchSlot === "step") step = Number(tensor.data[0]);
    else if (scalarSlots.includes(torchSlot)) scalars.push([camelCase(torchSlot), Number(tensor.data[0])]);
    else {
      slots.push([camelCase(torchSlot), values]);
      own = tensor.shape;
    }
  }
  return {
    name,
    shape: own ?? [],
    step,
    slots: Object.fromEntries(slots),
    scalarSlots: { ...(slots.length > 0 && impliedScalars[rule]), ...Object.fromEntries(scalars) },
  };
}

function lossScalerState(scaler: TorchLossScaler): LossScalerStateDict {
  return {
    dynamic: true,
    scale: scaler.scale,
    growthTracker: scaler._growth_tracker,
    growthFactor: scaler.growth_factor,
    backoffFactor: scaler.backoff_factor,
    growthInterval: scaler.growth_interval,
    // PyTorch's scale has no floor.
    minScale: 2 ** -149,
  };
}
