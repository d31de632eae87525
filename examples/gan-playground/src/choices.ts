export type Side = "generator" | "discriminator";
export const sides: readonly Side[] = ["generator", "discriminator"];

/** The backends of tfjs that are offered. */
export const tfjsBackends = ["wasm", "webgl", "webgpu"] as const;
export type TfjsBackend = (typeof tfjsBackends)[number];

/** Each with our optimizers and, for comparison, with tfjs's own. */
export type BackendName = TfjsBackend | `${TfjsBackend}-plain`;

export interface BackendChoice<Name extends string = BackendName> {
  readonly name: Name;
  readonly label: string;
  /** Why it cannot be chosen here; absent when it can. */
  readonly missing?: string;
}
