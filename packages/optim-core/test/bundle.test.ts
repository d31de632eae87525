import { expect, test } from "vitest";
import { filesIn } from "../../../test-support/bundling.ts";

// The part that an application's bundler leaves of these packages. `.size-limit.mjs` says how many bytes that is.

test("a training loop brings the wrapper and the dict, and nothing of tracing, lowering or evaluation", async () => {
  const files = await filesIn(`
    import { createOptimWrapper } from "@mm/optim-core";
    import { OptimWrapperDict } from "@mm/optim-dict";
    console.log(createOptimWrapper, OptimWrapperDict);
  `);
  expect([...files.keys()].sort()).toEqual([
    "core/arguments",
    "core/contract",
    "core/create-optim-wrapper",
    "core/errors",
    "core/loss-scaler",
    "core/migrate",
    "core/schema",
    "core/window",
    "core/wrapper-state",
    "dict/gather",
    "dict/names",
    "dict/optim-wrapper-dict",
    "dict/state",
    "dict/wrappers",
  ]);
  // Of a loss scaler it only has to know one when it sees it.
  expect(files.get("core/loss-scaler")).toEqual(["isLossScaler"]);
});

test("a backend with one rule brings no other rule, no other backend, no wrapper, and the operations that it needs", async () => {
  const files = await filesIn(`
    import { wasmOptimizer } from "@mm/optim-wasm";
    import { sgd } from "@mm/optim-rules";
    console.log(wasmOptimizer, sgd);
  `);
  const of = (name: string): string[] =>
    [...files.keys()].filter((file) => file.startsWith(`${name}/`)).sort();
  expect(of("rules")).toEqual(["rules/check", "rules/sgd", "rules/terms"]);
  expect([...of("dict"), ...of("tfjs"), ...of("conformance")]).toEqual([]);
  expect([...files.keys()]).not.toContain("core/create-optim-wrapper");
  expect([...files.values()].flat()).not.toContain("createArena");
  // The operations of SGD, and those with which core clips the gradient.
  const needed = [
    "Expression",
    "abs",
    "add",
    "div",
    "eq",
    "isExpression",
    "lift",
    "lt",
    "max",
    "min",
    "mul",
    "neg",
    "select",
    "sqrt",
    "sub",
  ];
  expect([...(files.get("core/rule/expression") ?? [])].sort()).toEqual(needed);
});

test("the WebGPU backend brings no tfjs, no arena, no evaluation on the host and no other backend", async () => {
  const files = await filesIn(`
    import { webgpuOptimizer } from "@mm/optim-webgpu";
    import { sgd } from "@mm/optim-rules";
    console.log(webgpuOptimizer, sgd);
  `);
  const brought = [...files.keys()];
  expect(brought).toContain("webgpu/plan");
  expect(brought.filter((file) => /^(?:wasm|tfjs|dict|conformance)\/|^webgpu\/tfjs/.test(file))).toEqual([]);
  for (const file of ["webgpu/arena", "core/backend/program/evaluate", "core/create-optim-wrapper"]) {
    expect(brought).not.toContain(file);
  }
});

test("whether an error is ours can be asked without the rest", async () => {
  const files = await filesIn('import { isOptimError } from "@mm/optim-core"; console.log(isOptimError);');
  expect([...files]).toEqual([["core/errors", ["isOptimError"]]]);
});

test.each(["core", "core/rule", "core/backend", "dict", "rules", "webgpu"])(
  "@mm/optim-%s does nothing when it is imported",
  async (name) => {
    expect([...(await filesIn(`import "@mm/optim-${name}";`)).keys()]).toEqual([]);
  },
);
