import type { BackendName, Side } from "./choices.ts";

const rules = ["adam", "adamw", "lion", "rmsprop", "sgd"] as const;
export type RuleName = (typeof rules)[number];

export interface SideControls {
  readonly rule: RuleName;
  readonly lr: number;
  readonly frozen: boolean;
}

/** Everything that can be set on a running model. */
export type Controls = Readonly<Record<Side, SideControls>> & {
  readonly clip: "none" | "norm" | "value";
  readonly bound: number;
  readonly accumulate: number;
  readonly scaling: boolean;
  readonly backend: BackendName;
};

/** Where each rule trains this model well: what a change of rule starts with. */
export const learningRates: Readonly<Record<RuleName, number>> = {
  adam: 2e-3,
  adamw: 2e-3,
  lion: 2e-4,
  rmsprop: 1e-3,
  sgd: 0.1,
};

const start: SideControls = { rule: "adam", lr: learningRates.adam, frozen: false };

export const defaults: Controls = {
  generator: start,
  discriminator: start,
  clip: "none",
  bound: 1,
  accumulate: 1,
  scaling: false,
  backend: "wasm",
};

/** Controls that came from a file, or nothing where they are not in order. */
export function controlsOf(value: unknown): Controls | undefined {
  const { generator, discriminator, clip, bound, accumulate, scaling, backend } = Object(value) as Controls;
  const inOrder =
    [generator, discriminator].every(isSide) &&
    ["none", "norm", "value"].includes(clip) &&
    isPositive(bound) &&
    isPositive(accumulate) &&
    typeof scaling === "boolean" &&
    typeof backend === "string";
  return inOrder ? { generator, discriminator, clip, bound, accumulate, scaling, backend } : undefined;
}

function isSide(value: unknown): value is SideControls {
  const { rule, lr, frozen } = Object(value) as SideControls;
  return rules.includes(rule) && isPositive(lr) && typeof frozen === "boolean";
}

const isPositive = (value: unknown): boolean => typeof value === "number" && value > 0 && value < 1e9;
