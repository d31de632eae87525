export type Side = "generator" | "discriminator";
export const sides: readonly Side[] = ["generator", "discriminator"];

export type BackendName = "wasm" | "webgpu" | "wasm-plain" | "webgpu-plain";

export interface BackendChoice {
  readonly name: BackendName;
  readonly label: string;
  /** Why it cannot be chosen here; absent when it can. */
  readonly missing?: string;
}
