import type { ModelKind, ModelParameter, ParameterKind } from "./model-kind.ts";

/** Parameters under names of the caller's choice. */
export type NamedParameters<P> = { readonly [name: string]: P };

const tells: readonly ParameterKind[] = ["bias", "flat"];

/**
 * Plain named parameters: any object that is no class instance. Of kinds, the last part of a name tells biases (`bias`), and a `shape`, where
 * the values have one, what is flat.
 */
export const namedParameters: ModelKind<NamedParameters<unknown>> = {
  name: "named parameters",
  kinds: tells,
  accepts: (model) => {
    if (typeof model !== "object" || model === null) return false;
    const prototype: unknown = Object.getPrototypeOf(model);
    return prototype === null || Object.getPrototypeOf(prototype) === null;
  },
  parameters: (model) => Object.entries(model).map(([name, value]) => describe(name, value)),
};

function describe(name: string, value: unknown): ModelParameter {
  const { shape } = Object(value) as { readonly shape?: unknown };
  const kinds: ParameterKind[] = [];
  if (name.split(/[./]/u).at(-1) === "bias") kinds.push("bias");
  if (Array.isArray(shape) && shape.length === 1) kinds.push("flat");
  return { name, value, kinds };
}
