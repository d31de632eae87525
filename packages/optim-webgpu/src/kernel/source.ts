/** How a kernel sees a buffer: the `type` of its entry in a bind group layout. */
export type BindingKind = "read-only-storage" | "storage" | "uniform";

/** A compute shader, and what is bound to it: group 0, binding i is `bindings[i]`. Its entry point is `main`. */
export interface KernelSource {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: "main";
  readonly bindings: readonly BindingKind[];
}
