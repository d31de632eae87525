import type { HyperparameterRecord, LossScalerStateDict, OptimWrapperStateDict } from "@mm/optim-core";
import { encodeSafetensors, type SafetensorsFile } from "../encode.ts";
import { toJson } from "../json.ts";
import { joinKey } from "../keys.ts";
import { eachWrapper, type SavedState, stateSchema } from "../state.ts";
import type { FileTensor } from "../tensor.ts";
import {
  impliedScalars,
  snakeCase,
  torchFormat,
  type TorchLossScaler,
  type TorchOptions,
  type TorchState,
  uncounted,
} from "./format.ts";

/**
 * The state of a wrapper or of a dict as a file that `python/optim_state.py` reads into a PyTorch optimizer of the same rule, or into
 * MMEngine's wrappers. Counts and gradients of a window in progress have no place there: save between two windows.
 *
 * @throws OptimError `invalid-state`, `invalid-name`, `unsupported`, as `encodeCheckpoint`
 */
export function encodeTorchState(state: SavedState): SafetensorsFile {
  const tensors: (readonly [string, FileTensor])[] = [];
  const plain = eachWrapper(state, stateSchema(false), (wrapper, [, ...names]) =>
    torchState(wrapper, names, tensors),
  );
  const { wrappers = plain } = plain as { readonly wrappers?: unknown };
  return encodeSafetensors(tensors, { [torchFormat]: toJson(wrappers, torchFormat) });
}

function torchState(
  { optimizer, lossScaler }: OptimWrapperStateDict,
  names: readonly string[],
  tensors: (readonly [string, FileTensor])[],
): TorchState {
  const { rule, groups, params, baseParamSettings: base } = optimizer;
  const implied = impliedScalars[rule] ?? {};
  for (const { name, shape, step, slots, scalarSlots } of params) {
    const add = (slot: string, shape: readonly number[], data: Float32Array): void => {
      tensors.push([joinKey(...names, name, snakeCase(slot)), { dtype: "F32", shape, data }]);
    };
    for (const [slot, data] of Object.entries(slots)) add(slot, shape, data);
    for (const [slot, value] of Object.entries(scalarSlots)) {
      if (!Object.hasOwn(implied, slot)) add(slot, [], Float32Array.of(value));
    }
    if (step > 0 && !uncounted.includes(rule)) add("step", [], Float32Array.of(step));
  }
  return {
    param_groups: groups.map(({ params: members, hyperparameters }) => ({
      ...torchOptions(hyperparameters),
      params: members,
    })),
    ...(base && { base_param_settings: torchOptions(base) }),
    ...(lossScaler && { loss_scaler: torchLossScaler(lossScaler) }),
  };
}

function torchOptions(hyperparameters: HyperparameterRecord): TorchOptions {
  return Object.fromEntries(Object.entries(hyperparameters).map(([name, value]) => [snakeCase(name), value]));
}

function torchLossScaler(state: LossScalerStateDict): TorchLossScaler {
  return {
    scale: state.scale,
    growth_factor: state.growthFactor,
    backoff_factor: state.backoffFactor,
    growth_interval: state.growthInterval,
    _growth_tracker: state.growthTracker,
  };
}
