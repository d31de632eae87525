import type { HyperparameterRecord, OptimizerStateDict, ParameterState } from "@mm/optim-core";
import type { Checks } from "./checks.ts";
import type { TorchOptions, TorchStateDict, TorchTensor, TorchValue } from "./format.ts";
import { camelCase, hyperparametersOf } from "./torch.ts";

/** Compares our state with a recorded one. `names` are the parameters in PyTorch's order. */
export function compareState(
  checks: Checks,
  at: string,
  state: OptimizerStateDict,
  recorded: TorchStateDict,
  names: readonly string[],
): void {
  const byName = new Map(state.params.map((parameter) => [parameter.name, parameter]));
  for (const [index, name] of names.entries()) {
    const entry = byName.get(name);
    const where = `${at}.state.${name}`;
    if (entry === undefined) checks.note(where, "no such parameter in the state dict");
    else compareParameter(checks, where, entry, recorded.state[String(index)]);
  }
  checks.exact(`${at}.param_groups.length`, state.groups.length, recorded.param_groups.length);
  for (const [index, group] of recorded.param_groups.entries()) {
    const values = state.groups[index]?.hyperparameters ?? {};
    compareHyperparameters(checks, `${at}.param_groups[${index}]`, values, group);
  }
}

/** The settings that no parameter uses. */
export function compareBaseSettings(
  checks: Checks,
  at: string,
  values: HyperparameterRecord | undefined,
  recorded: TorchOptions | null | undefined,
): void {
  checks.exact(
    `${at}.base_param_settings`,
    values !== undefined,
    recorded !== null && recorded !== undefined,
  );
  if (values && recorded) compareHyperparameters(checks, `${at}.base_param_settings`, values, recorded);
}

function compareParameter(
  checks: Checks,
  at: string,
  { step, slots, scalarSlots }: ParameterState,
  recorded: TorchOptions | undefined,
): void {
  if (recorded === undefined) return checks.exact(`${at}.step`, step, 0);
  const known = new Set<string>();
  for (const [key, value] of Object.entries(recorded)) {
    const name = camelCase(key);
    known.add(name);
    const tensor = isTensor(value) ? value.tensor : undefined;
    if (key === "step") checks.exact(`${at}.step`, step, Number(tensor?.[0] ?? value));
    else if (value === null) checks.exact(`${at}.${key}`, slots[name], undefined);
    else if (slots[name] !== undefined && tensor) checks.slot(`${at}.${key}`, slots[name], tensor);
    else {
      const scalar = scalarSlots[name];
      checks.slot(`${at}.${key}`, scalar === undefined ? scalar : [scalar], tensor ?? [Number(value)]);
    }
  }
  const unknown = Object.keys(slots).filter((name) => !known.has(name));
  checks.exact(`${at}: further slots`, unknown, []);
}

/** A feature that we lack has to be switched off in the recording. */
function compareHyperparameters(
  checks: Checks,
  at: string,
  values: HyperparameterRecord,
  recorded: TorchOptions,
): void {
  for (const [name, value] of Object.entries(hyperparametersOf(recorded))) {
    if (Object.hasOwn(values, name) || value) checks.exact(`${at}.${name}`, values[name], value);
  }
}

function isTensor(value: TorchValue): value is TorchTensor {
  return typeof value === "object" && value !== null && "tensor" in value;
}
