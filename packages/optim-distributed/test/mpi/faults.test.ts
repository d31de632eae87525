// Every way in which a rank can end early ends the job. Each job runs under `timeout`: one that hangs fails by its exit code.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleProgram } from "../program.ts";
import { launch, type LaunchOptions, type Mpi, mpich, ob1, ucx } from "./launch.ts";

const folder = mkdtempSync(join(tmpdir(), "optim-distributed-faults-"));
let program = "";
beforeAll(async () => {
  program = await bundleProgram("faults");
});
afterAll(() => rmSync(folder, { recursive: true }));

const launchers: readonly (readonly [string, Mpi])[] = [
  ["Open MPI, ob1", ob1],
  ["Open MPI, UCX", ucx],
  ["MPICH", mpich],
];

/** The exit code that is expected of the job, on all launchers. A job that hangs would end with 124 or 137. */
const ends = [
  { kind: "none", codes: [0], says: "" },
  { kind: "error", codes: [70], says: "rank 1: Error: thrown on purpose" },
  { kind: "rejection", codes: [70], says: "rank 1: Error: rejected on purpose" },
  { kind: "exit0", codes: [70], says: "rank 1: exit before close()" },
  { kind: "exit3", codes: [3], says: "" },
  // 128 + SIGKILL by Open MPI, the signal alone by MPICH.
  { kind: "kill", codes: [137, 9], says: "" },
  { kind: "hang", codes: [70], says: "rank 0: allReduce: expected all ranks within 1000 ms" },
  { kind: "hangAsync", codes: [70], says: "rank 0: allReduce: expected all ranks within 1000 ms" },
  { kind: "hangInEnd", codes: [70], says: "rank 0: close: expected all ranks within 1000 ms" },
] as const;

describe.each(launchers)("%s", (name, mpi) => {
  const run = (kind: string, options: LaunchOptions = {}) =>
    launch(mpi, 2, program, [kind, folder], { seconds: 20, ...options });

  test.each(ends)("$kind: the job ends with $codes", async ({ kind, codes, says }) => {
    const { code, output, milliseconds } = await run(kind);
    expect({ codes, output }).toEqual({ codes: expect.arrayContaining([code]) as unknown, output });
    expect(output).toContain(says);
    // mpirun gives ranks some seconds; on a busy machine a start takes some more.
    expect(milliseconds).toBeLessThan(15_000);
  });

  test("Ctrl-C: all ranks stop after the same iteration, and the job ends", async () => {
    const notes = [0, 1].map((rank) => join(folder, `interrupt-${rank}`));
    for (const note of notes) rmSync(note, { force: true });
    const { code, output } = await run("interrupt", {
      started(child) {
        void (async () => {
          while (!notes.every((note) => existsSync(note))) await setTimeout(20);
          await setTimeout(100);
          // To mpirun alone, and once: `timeout` would send it to its whole group too, and Open MPI takes a second one for impatience.
          const mpirun = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8");
          process.kill(Number(mpirun), "SIGINT");
        })();
      },
    });
    // Open MPI says that it was interrupted. MPICH passes SIGINT on, and ends with what the ranks end with.
    expect({ code, output }).toEqual({ code: name === "MPICH" ? 0 : 1, output });
    const [first, second] = notes.map((note) => readFileSync(note, "utf8"));
    expect(first).toMatch(/^stopped after \d+$/);
    expect(second).toBe(first);
  });
});
