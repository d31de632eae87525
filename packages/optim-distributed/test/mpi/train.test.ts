// The program of docs/several-machines.md.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleProgram } from "../program.ts";
import { launch, type Mpi, mpich, openMpi } from "./launch.ts";

const place = mkdtempSync(join(tmpdir(), "optim-distributed-train-"));
let program = "";
beforeAll(async () => {
  program = await bundleProgram("train");
});
afterAll(() => rmSync(place, { recursive: true }));

interface Fitted {
  readonly slope: number;
  readonly offset: number;
  readonly spread: number;
}

async function train(mpi: Mpi, ranks: number, folder: string, iterations: number): Promise<Fitted> {
  const { code, output } = await launch(mpi, ranks, program, [join(place, folder), String(iterations)]);
  expect({ code, output }).toEqual({ code: 0, output });
  return JSON.parse(/^\{.*\}$/m.exec(output)?.[0] ?? output) as Fitted;
}

test("two optimizers under mpirun: as one process, resumed by another number of ranks, on both MPIs", async () => {
  const alone = await train(openMpi, 1, "alone", 600);
  // The line is 3x − 1, its noise 0.5; 33 rows a batch.
  expect(alone.slope).toBeCloseTo(3, 0);
  expect(alone.offset).toBeCloseTo(-1, 0);
  expect(alone.spread).toBeCloseTo(0.5, 1);

  await train(openMpi, 2, "moved", 400);
  expect(readdirSync(join(place, "moved")).length).toBe(2);
  const resumed = await train(mpich, 3, "moved", 600);
  // Sums in another order: some units in the last place of numbers up to 3.
  for (const name of ["slope", "offset", "spread"] as const) {
    expect(Math.abs(resumed[name] - alone[name])).toBeLessThan(1e-5);
  }
}, 300_000);
