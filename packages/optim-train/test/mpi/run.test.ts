// Ranks of both MPIs run one loop.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  launch,
  type LaunchOptions,
  type Mpi,
  mpich,
  openMpi,
} from "../../../optim-distributed/test/mpi/launch.ts";
import { bundleProgram } from "../../../optim-distributed/test/program.ts";

const place = mkdtempSync(join(tmpdir(), "optim-train-mpi-"));
let program = "";
beforeAll(async () => {
  program = await bundleProgram("run", new URL("../..", import.meta.url));
});
afterAll(() => rmSync(place, { recursive: true }));

interface End {
  readonly began: number;
  readonly iteration: number;
  readonly stopped: string;
  readonly lines: number;
  readonly mean: number;
  readonly steps: number;
}

const folderOf = (name: string): string => mkdtempSync(join(place, `${name}-`));

/** The notes of each rank at its end. */
async function train(mpi: Mpi, ranks: number, folder: string, until: string, options: LaunchOptions = {}) {
  const { code, output } = await launch(mpi, ranks, program, [folder, until], options);
  const ends = Array.from({ length: ranks }, (_, rank) => {
    const file = join(folder, `end-${rank}.json`);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as End) : output;
  });
  return { code, output, ends: ends as readonly End[] };
}

describe.each<[string, Mpi]>([
  ["Open MPI", openMpi],
  ["MPICH", mpich],
])("%s", (name, mpi) => {
  test(
    "rank 0 logs and saves, and any number of ranks goes on with its file",
    { timeout: 300_000 },
    async () => {
      const [alone] = (await train(mpi, 1, folderOf("alone"), "20")).ends;
      expect(alone).toMatchObject({ iteration: 20, lines: 4, steps: 10 });

      const folder = folderOf("moved");
      const two = await train(mpi, 2, folder, "10");
      expect({ code: two.code, output: two.output }).toEqual({ code: 0, output: "" });
      expect(two.ends).toMatchObject([
        { iteration: 10, lines: 2, steps: 5 },
        { iteration: 10, lines: 0, steps: 5 },
      ]);
      expect(two.ends[1]?.mean).toBe(two.ends[0]?.mean);
      // After 7, in mid-window, it waits for 8; and the end.
      expect(await openCheckpoints(folder).list()).toHaveLength(2);

      const three = await train(mpi, 3, folder, "20");
      expect(three.ends.map(({ began, iteration }) => [began, iteration])).toEqual([
        [10, 20],
        [10, 20],
        [10, 20],
      ]);
      // Sums in another order: a few units in the last place of numbers below 1, through 10 steps.
      for (const { mean } of three.ends)
        expect(Math.abs(mean - (alone?.mean ?? Number.NaN))).toBeLessThan(1e-5);
    },
  );

  test(
    "Ctrl-C: all ranks stop after the same iteration, with a file to go on from",
    { timeout: 300_000 },
    async () => {
      const folder = folderOf("stopped");
      const { code, ends, output } = await train(mpi, 2, folder, "forever", {
        started(child) {
          void (async () => {
            while (![0, 1].every((rank) => existsSync(join(folder, `ready-${rank}`)))) await setTimeout(20);
            await setTimeout(100);
            // To mpirun alone: `timeout` would send it to its whole group.
            const mpirun = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
            process.kill(Number(mpirun), "SIGINT");
          })();
        },
      });
      // Open MPI says that it was interrupted.
      expect({ code, output }).toEqual({ code: name === "MPICH" ? 0 : 1, output });
      const [first, second] = ends;
      expect(second).toMatchObject({ iteration: first?.iteration, mean: first?.mean });
      expect((first?.iteration ?? Number.NaN) % 2).toBe(0);
      expect(ends.every(({ stopped }) => ["signal", "another rank"].includes(stopped))).toBe(true);
      const resumed = await train(mpi, 1, folder, String((first?.iteration ?? 0) + 2));
      expect(resumed.ends[0]).toMatchObject({ began: first?.iteration });
    },
  );
});
