// The program itself, on two ranks of Open MPI.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readCheckpoint } from "@mm/optim-checkpoint/node";
import { jsonLinesFile } from "@mm/optim-train/node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, openMpi } from "../../../../packages/optim-distributed/test/mpi/launch.ts";

const example = fileURLToPath(new URL("../..", import.meta.url));
const place = mkdtempSync(join(tmpdir(), "language-model-mpi-"));
afterAll(() => rmSync(place, { recursive: true }));
// A process runs the build; where it is up to date this does nothing.
beforeAll(() => {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(typescript, "../bin/tsc"), "-b", example]);
}, 120_000);

async function train(ranks: number) {
  const out = join(place, String(ranks));
  const line =
    `--optimizer muon --steps 50 --checkpoint-every 20 --rows 5 --context 16 --layers 1 --width 32 --out ${out}`.split(
      " ",
    );
  const { code, output } = await launch(openMpi, ranks, join(example, "dist/main.js"), line, {
    seconds: 240,
  });
  expect({ code, output }).toEqual({ code: 0, output });
  const { tensors } = await readCheckpoint(join(out, "muon/checkpoint-000001.safetensors"));
  const lines = jsonLinesFile(join(out, "muon/metrics.jsonl")).read();
  return { output, tensors, validation: lines.flatMap(({ validation }) => validation ?? []) };
}

test(
  "five rows on two ranks train as on one, and the first rank alone speaks",
  { timeout: 500_000 },
  async () => {
    const [one, two] = [await train(1), await train(2)];
    expect(two.output.match(/^Muon \+ AdamW: 50 steps/gm)).toHaveLength(1);
    expect(two.validation.length).toBe(12);
    // Sums in another order: 5e-7 nats after 50 steps and 6e-6 of a weight after 20 were seen.
    const [alone, together] = [one, two].map(({ tensors }) =>
      Object.values(tensors).flatMap(({ data }) => Array.from(data, Number)),
    );
    expect(alone!.length).toBeGreaterThan(50_000);
    const apart = alone!.map((value, at) => Math.abs(value - together![at]!));
    expect(Math.max(...apart)).toBeLessThan(1e-5);
    two.validation.forEach((loss, at) => expect(Math.abs(loss - one.validation[at]!)).toBeLessThan(1e-4));
  },
);
