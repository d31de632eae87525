// Takes the blocks out before the suites are collected.
import type { TestProject } from "vitest/node";
import { extractSnippets } from "../extract.mjs";
import { root } from "../../scripts/workspace.mjs";

declare module "vitest" {
  interface ProvidedContext {
    documentation: ReturnType<typeof extractSnippets> & { readonly root: string };
  }
}

export function setup({ provide }: TestProject): void {
  provide("documentation", { root, ...extractSnippets() });
}
