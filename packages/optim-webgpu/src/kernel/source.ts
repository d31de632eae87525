import { wgsl } from "./wgsl.ts";

/** How a kernel sees a buffer: the `type` of its entry in a bind group layout. */
export type BindingKind = "read-only-storage" | "storage" | "uniform";

/** A compute shader, and what is bound to it: group 0, binding i is `bindings[i]`. */
export interface KernelSource {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: "main";
  readonly bindings: readonly BindingKind[];
}

/** A binding by its name in the shader and its type there. */
export type Binding = readonly [name: string, kind: BindingKind, type: string];

const qualifiers: { readonly [K in BindingKind]: string } = {
  "read-only-storage": "storage, read",
  storage: "storage, read_write",
  uniform: "uniform",
};

/**
 * A kernel of 64 threads a workgroup, whose `main` knows `group`, `groups` (how many there are) and `thread` (in its group). A value
 * without its sign, as bits, is `sizeBits(x)`: NaN above infinity above all else.
 */
export function kernel(
  label: string,
  bindings: readonly Binding[],
  declarations: readonly string[],
  main: string,
): KernelSource {
  const variables = bindings.map(
    ([name, kind, type], index) => `@group(0) @binding(${index}) var<${qualifiers[kind]}> ${name}: ${type};`,
  );
  const sizeBits = "fn sizeBits(x: vec4f) -> vec4u { return bitcast<vec4u>(x) & vec4u(0x7fffffffu); }";
  const code = wgsl`
    ${[variables.join("\n"), sizeBits, ...declarations].join("\n\n")}

    @compute @workgroup_size(64) fn main(
      @builtin(workgroup_id) group: vec3u,
      @builtin(num_workgroups) groups: vec3u,
      @builtin(local_invocation_index) thread: u32
    ) {
      ${main}
    }
  `;
  return { label: `optim ${label}`, code, entryPoint: "main", bindings: bindings.map(([, kind]) => kind) };
}

/** The value as a float32 literal. */
export const literal = (value: number): string => `(${String(Math.fround(value))}f)`;
