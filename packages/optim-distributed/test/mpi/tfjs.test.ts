// Synchronous training on TensorFlow.js, by two ranks of Open MPI.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { compareOnTfjs } from "../cases/tfjs.ts";
import { bundleProgram } from "../program.ts";
import { launch, openMpi } from "./launch.ts";

type Results = { readonly [backend: string]: Awaited<ReturnType<typeof compareOnTfjs>> };

const folder = mkdtempSync(join(tmpdir(), "optim-distributed-tfjs-"));
afterAll(() => rmSync(folder, { recursive: true }));
let results: readonly Results[] = [];
beforeAll(async () => {
  const { code, output } = await launch(openMpi, 2, await bundleProgram("tfjs-ranks"), [folder]);
  if (code !== 0) throw new Error(`the job ended with ${code}\n${output}`);
  results = [0, 1].map((rank) => JSON.parse(readFileSync(join(folder, `${rank}.json`), "utf8")) as Results);
}, 300_000);

test.each(["cpu", "wasm"])(
  "tfjs-%s: 100 steps as one process on the whole batch, replicas equal to the bit, no tensor left",
  (backend) => {
    for (const { [backend]: result } of results) {
      expect(result?.difference).toBeLessThanOrEqual(1e-6);
      expect(result?.largest).toBeGreaterThan(0.5);
      expect(result?.leaked).toBe(0);
    }
  },
);
