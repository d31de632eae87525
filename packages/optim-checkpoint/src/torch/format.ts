import { aNumber, anything, aString, type Schema } from "@mm/optim-core/schema";

// The file that python/optim_state.py writes and reads: tensors `NAME:SLOT`, of a dict `WRAPPER:NAME:SLOT`, under PyTorch's names of slots;
// and among the metadata, as JSON, all else of the state dict, with names in the place of positions.

/** The entry of the metadata. */
export const torchFormat = "torch-optimizer";

/** A state dict of a `torch.optim.Optimizer`, without its tensors; with what MMEngine's wrappers add. */
export interface TorchState {
  readonly param_groups: readonly TorchGroup[];
  readonly base_param_settings?: TorchOptions;
  readonly loss_scaler?: TorchLossScaler;
}

export interface TorchOptions {
  readonly [name: string]: unknown;
}

interface TorchGroup extends TorchOptions {
  /** Names, where PyTorch has positions. */
  readonly params: readonly string[];
}

/** `GradScaler.state_dict()` */
export interface TorchLossScaler {
  readonly scale: number;
  readonly growth_factor: number;
  readonly backoff_factor: number;
  readonly growth_interval: number;
  readonly _growth_tracker: number;
}

export const torchSchema = (): Schema => ({
  fields: {
    param_groups: { items: { fields: { params: { items: aString } } } },
    "base_param_settings?": { each: anything },
    "loss_scaler?": {
      fields: {
        scale: aNumber,
        growth_factor: aNumber,
        backoff_factor: aNumber,
        growth_interval: aNumber,
        _growth_tracker: aNumber,
      },
    },
  },
});

/** `weight_decay` → `weightDecay` */
export function camelCase(name: string): string {
  return name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `weightDecay` → `weight_decay` */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Slots of ours that PyTorch has no counterpart of, since it can tell an absent buffer from zeros. */
export const impliedScalars: { readonly [rule: string]: { readonly [slot: string]: number } | undefined } = {
  SGD: { momentumStarted: 1 },
};

/** State that is one number per parameter there, in a tensor without dimensions. */
export const scalarSlots: readonly string[] = ["mu_product", "eta", "mu"];

/** Rules whose PyTorch optimizers do not count steps. */
export const uncounted: readonly string[] = ["SGD", "Muon"];
