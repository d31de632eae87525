import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Effort, Ratio, Section, Timing } from "./measure.ts";

interface Results {
  readonly reductions: readonly { readonly bytes: number; readonly times: Times }[];
  readonly updates: readonly { readonly length: number; readonly times: Times }[];
}

interface Times {
  readonly [name: string]: number;
}

/** Ranks of Open MPI on this machine: all-reduce against the same calls in C, and what a step costs beyond one process. */
export async function distributed({ smoke }: Effort): Promise<readonly Section[]> {
  const missing = ["mpirun.openmpi", "mpicc.openmpi", "gcc"].filter((tool) => !exists(tool));
  if (missing.length > 0) {
    const line = `not run: ranks of MPI (no ${missing.join(", no ")}; Debian: openmpi-bin, libopenmpi-dev, gcc, libc6-dev)`;
    if (process.env["REQUIRE_DEVICES"] === "1") throw new Error(line);
    console.log(line);
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "bench-mpi-"));
  try {
    const library = join(folder, "all-reduce.so");
    const source = fileURLToPath(new URL("../src/mpi/all-reduce.c", import.meta.url));
    execFileSync("mpicc.openmpi", ["-O2", "-shared", "-fPIC", "-o", library, source]);
    const two = run(folder, 2, smoke, library);
    const others = [1, 4].map((ranks) => [ranks, run(folder, ranks, smoke, "")] as const);
    return [
      reductions(two),
      updates([
        [1, others[0]?.[1] as Results],
        [2, two],
        [4, others[1]?.[1] as Results],
      ]),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(folder: string, ranks: number, smoke: boolean, library: string): Results {
  const out = join(folder, `${ranks}.json`);
  const rank = fileURLToPath(new URL("mpi/rank.js", import.meta.url));
  const line = [
    "-k",
    "5",
    "300",
    "mpirun.openmpi",
    "--mca",
    "pml",
    "ob1",
    "-n",
    String(ranks),
    process.execPath,
    rank,
  ];
  const { status, stderr } = spawnSync(
    "timeout",
    [...line, out, smoke ? "smoke" : "full", ...(library ? [library] : [])],
    {
      encoding: "utf8",
      env: {
        ...process.env,
        OMPI_ALLOW_RUN_AS_ROOT: "1",
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
        OMPI_MCA_rmaps_base_oversubscribe: "1",
      },
    },
  );
  if (status !== 0) throw new Error(`${ranks} ranks of the benchmark ended with ${status}\n${stderr}`);
  return JSON.parse(readFileSync(out, "utf8")) as Results;
}

const sizeOf = (bytes: number): string =>
  bytes < 2 ** 20 ? `${bytes / 2 ** 10} KiB` : `${bytes / 2 ** 20} MiB`;

function reductions({ reductions: measured }: Results): Section {
  const names = ["C", "allReduceSync", "allReduce"] as const;
  return {
    title: "Sums over ranks",
    about:
      "One all-reduce of two ranks, Open MPI, shared memory. C: `MPI_Iallreduce` and `MPI_Test` in a loop, in the same processes, taken in turn with the calls from Node; the fastest of 31 rounds. The asynchronous form waits on another thread; it has no goal.",
    timings: measured.flatMap(({ bytes, times }) =>
      names.map((name): Timing => ({ name: `${name}, ${sizeOf(bytes)}`, medianMs: times[name] as number })),
    ),
    ratios: measured.flatMap(({ bytes, times }): Ratio[] => {
      const of = (name: string): number => (times[name] as number) / (times["C"] as number);
      return [
        {
          what: `allReduceSync ÷ C, ${sizeOf(bytes)}`,
          value: of("allReduceSync"),
          ...(bytes >= 2 ** 18 && { goal: { atMost: 1.05 } }),
        },
        { what: `allReduce ÷ C, ${sizeOf(bytes)}`, value: of("allReduce") },
      ];
    }),
  };
}

function updates(runs: readonly (readonly [ranks: number, results: Results])[]): Section {
  const cases = runs.flatMap(([ranks, results]) =>
    results.updates.map((measured) => ({ ranks, ...measured })),
  );
  const nameOf = (ranks: number, length: number): string =>
    `${length / 2 ** 10}k parameters, ${ranks} ${ranks === 1 ? "rank" : "ranks"}`;
  return {
    title: "An update over ranks",
    about:
      "`updateParams` of AdamW in an arena, whose loss does nothing but fill the gradient, over ranks of one machine, against the same update of a rank that is not distributed, taken in turn while all ranks work. More ranks than processors show how it grows, and nothing about machines of their own.",
    timings: cases.map(({ ranks, length, times }) => ({
      name: nameOf(ranks, length),
      medianMs: times["distributed"] as number,
    })),
    ratios: cases.map(({ ranks, length, times }) => ({
      what: `distributed ÷ alone, ${nameOf(ranks, length)}`,
      value: (times["distributed"] as number) / (times["alone"] as number),
    })),
  };
}

const exists = (tool: string): boolean => spawnSync("which", [tool]).status === 0;
