import type { AnyOptimWrapper } from "@mm/optim-core";
import { refuse, requireContract } from "@mm/optim-core/backend";
import { dictName } from "./names.ts";

export type Wrappers = ReadonlyMap<string, AnyOptimWrapper>;

/** @throws OptimError `invalid-option`, `invalid-name`, `invalid-wrapper`, `contract-mismatch`, `duplicate-wrapper` */
export function checkedWrappers(wrappers: object | null): Wrappers {
  const { kind } = Object(wrappers) as { readonly kind?: unknown };
  const isWrapper = kind === "optim-wrapper";
  // null is refused as a list is.
  if (isWrapper || typeof wrappers !== "object" || Symbol.iterator in (wrappers ?? [])) {
    refuse("invalid-option", dictName, "a record of wrappers", wrappers, {
      hint: "Give each wrapper a name: { generator: wrapper }",
    });
  }
  const checked = new Map<string, AnyOptimWrapper>();
  for (const [name, wrapper] of Object.entries(wrappers as Record<string, AnyOptimWrapper>)) {
    const who = `${dictName}: ${name}`;
    if (!/^[^.]+$/.test(name)) {
      refuse("invalid-name", dictName, "names that are not empty and hold no dot", name);
    }
    requireContract("invalid-wrapper", who, "optim-wrapper", wrapper, hintFor(wrapper));
    for (const [other, known] of checked) {
      if (known === wrapper) refuse("duplicate-wrapper", who, `another wrapper than ${other}`, wrapper);
    }
    checked.set(name, wrapper);
  }
  return checked;
}

/** Advice for things that are often given in the place of a wrapper. */
function hintFor(given: unknown): string | undefined {
  if (given === undefined)
    return "The wrapper of a tf.Optimizer made by toTfOptimizer is there from its first batch on";
  const { kind, applyGradients } = Object(given) as {
    readonly kind?: unknown;
    readonly applyGradients?: unknown;
  };
  if (kind === "optimizer") return "Wrap it first: createOptimWrapper(optimizer)";
  if (kind === "update-rule")
    return "Give the rule its parameters and wrap it: createOptimWrapper(tfjsOptimizer(rule, variables))";
  if (kind === "optim-wrapper-dict")
    return `A dict holds no dicts: give it the wrappers, {...Object.fromEntries(inner)}`;
  if (typeof given === "function") return "Call what makes it";
  if (typeof applyGradients !== "function") return undefined;
  return "wrapper" in Object(given)
    ? "Give its wrapper, which it has from its first batch on: optimizer.wrapper"
    : "Wrap it first: createOptimWrapper(tfjsOptimizer(tf.train.adam(1e-3), variables))";
}
