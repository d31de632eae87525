import type { TfjsBackend } from "@mm-examples/gan-playground/choices";
import {
  completeSettings,
  type OptimizerName,
  ratesOf,
  type ScheduleName,
  type Settings,
} from "@mm-examples/language-model/settings";

/** The first is that of the program. */
export const sizes = {
  usual: { rows: 16, context: 64, layers: 4, width: 64 },
  half: { rows: 8, context: 32, layers: 2, width: 64 },
  small: { rows: 2, context: 16, layers: 1, width: 32 },
} as const;
export type SizeName = keyof typeof sizes;

/** Everything that can be set on a running model. */
export interface Controls {
  readonly optimizer: OptimizerName;
  /** Of AdamW. */
  readonly lr: number;
  readonly muonLr: number;
  readonly schedule: ScheduleName;
  readonly steps: number;
  /** Absent for a size that came with a file. */
  readonly size?: SizeName;
  readonly backend: TfjsBackend;
}

export const defaults: Controls = {
  optimizer: "muon",
  ...ratesOf("muon"),
  schedule: "decay",
  steps: completeSettings({}).steps,
  size: "usual",
  backend: "wasm",
};

/** As the program saves them. Its backend is its own. */
export const settingsOf = (
  { optimizer, lr, muonLr, schedule, steps, size }: Controls,
  base: Settings = completeSettings({}),
): Settings => ({
  ...base,
  ...(size && sizes[size]),
  tfjsBackend: "wasm",
  optimizers: [optimizer],
  steps,
  lr,
  muonLr,
  schedule,
});

export function controlsOf(optimizer: OptimizerName, settings: Settings, backend: TfjsBackend): Controls {
  const size = (Object.keys(sizes) as SizeName[]).find((name) => hasSize(settings, name));
  const { steps, schedule = "decay" } = settings;
  return {
    optimizer,
    ...ratesOf(optimizer, settings),
    schedule,
    steps,
    ...(size && { size }),
    backend,
  };
}

export const hasSize = (settings: Settings, name: SizeName): boolean =>
  Object.entries(sizes[name]).every(([key, value]) => settings[key as keyof Settings] === value);
