// Every code block of the documentation is compiled, and run.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isOptimError } from "@mm/optim-core";
import { afterAll, beforeAll, beforeEach, expect, inject, it, vi } from "vitest";
import { markers } from "../extract.mjs";

const { root, snippets, used, problems } = inject("documentation");

it("blocks carry markers of the list, and excerpts stand where they say", () => {
  expect(problems).toEqual([]);
});

it("the list has no marker that no block needs", () => {
  expect(Object.keys(markers).filter((marker) => !used.includes(marker))).toEqual([]);
});

it("blocks compile", { timeout: 300_000 }, () => {
  const typescript = createRequire(join(root, "package.json")).resolve("typescript/package.json");
  expect(compile()).toBe("");

  /** Errors, at pages and lines: a block stands in its file at the line it has in its page. */
  function compile(): string {
    const args = [join(typescript, "../bin/tsc"), "-p", join(root, "site/tsconfig.snippets.json")];
    try {
      execFileSync(process.execPath, args, { encoding: "utf8", cwd: root });
      return "";
    } catch (error) {
      const { stdout } = error as { stdout: string };
      return stdout.replaceAll(/^site\/\.snippets\/(.*)\/\d+\.ts\((\d+),/gm, "$1:$2 (");
    }
  }
});

const folder = mkdtempSync(join(tmpdir(), "snippets-"));
const before = process.cwd();
// Blocks write files where they are run.
beforeAll(() => process.chdir(folder));
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  vi.resetModules();
  for (const print of ["log", "warn"] as const) vi.spyOn(console, print).mockImplementation(() => {});
});

it.each(snippets.filter(({ browser }) => !browser))(
  "$where runs",
  { timeout: 300_000 },
  async ({ file, context, throws }) => {
    const run = async () => {
      await import(join(root, file));
      const { finish } = (context ? await import(join(root, context)) : {}) as {
        finish?: () => Promise<void>;
      };
      await finish?.();
    };
    if (throws === undefined) return run();
    const error = await run().catch((error: unknown) => error);
    expect(isOptimError(error) ? error.code : error).toBe(throws);
  },
);
