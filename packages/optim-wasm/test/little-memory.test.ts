import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { aliases } from "../../../scripts/aliases.mjs";

const place = mkdtempSync(join(tmpdir(), "optim-wasm-"));
const program = join(place, "little-memory.mjs");
afterAll(() => rmSync(place, { recursive: true }));
beforeAll(async () => {
  const result = (await build({
    configFile: false,
    logLevel: "silent",
    resolve: { alias: aliases(process.env["TEST_STAGE"] === "built" ? "built" : "source") },
    build: {
      write: false,
      minify: false,
      target: "node20",
      ssr: fileURLToPath(new URL("programs/little-memory.ts", import.meta.url)),
    },
    ssr: { noExternal: true },
  })) as Rollup.RollupOutput;
  writeFileSync(program, result.output[0].code);
});

interface Report {
  readonly small: readonly unknown[];
  readonly bySmall: number;
  readonly large: unknown;
  readonly arena: unknown;
  readonly huge: unknown;
}

/** Runs the program with at most so many kilobytes of addresses. */
const run = (limit: string): Report =>
  JSON.parse(
    execFileSync("sh", ["-c", `ulimit -v ${limit} && exec "${process.execPath}" "${program}"`], {
      encoding: "utf8",
    }),
  ) as Report;

// Momentum 0.5, gradients of 1: −0.5 · (1 + 1.5).
const trained = (compiled: boolean) => ({ w: -1.25, compiled });

test.skipIf(process.platform !== "linux")(
  "without a limit all are compiled, and twenty small ones reserve the addresses of one memory",
  () => {
    const report = run("unlimited");
    expect(report.small).toEqual(Array(20).fill(trained(true)));
    // V8 reserves 10,240 MB for a memory. Twenty of them would be 204,800.
    expect(report.bySmall).toBeLessThan(2 * 10_240);
    expect(report).toMatchObject({ large: trained(true), arena: trained(true), huge: "unsupported" });
  },
);

test.skipIf(process.platform !== "linux")(
  "with addresses for one memory (12 GB), small ones share it, and the others train without",
  () => {
    const report = run("12000000");
    expect(report.small).toEqual(Array(20).fill(trained(true)));
    expect(report).toMatchObject({ large: trained(false), arena: trained(false) });
  },
);

test.skipIf(process.platform !== "linux")("with addresses for none (4 GB) all train without", () => {
  const report = run("4000000");
  expect(report.small).toEqual(Array(20).fill(trained(false)));
  expect(report).toMatchObject({ large: trained(false), arena: trained(false) });
});
