import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** A launcher with its library. */
export interface Mpi {
  readonly command: readonly string[];
  readonly library: string;
}

export const openMpi: Mpi = { command: ["mpirun.openmpi"], library: "libmpi.so.40" };
export const mpich: Mpi = { command: ["mpirun.mpich"], library: "libmpich.so.12" };
/** Open MPI on shared memory and TCP, without UCX. */
export const ob1: Mpi = { ...openMpi, command: [...openMpi.command, "--mca", "pml", "ob1"] };
/** Open MPI on UCX, which it takes by itself only on networks that have it. */
export const ucx: Mpi = {
  ...openMpi,
  command: openMpi.command.concat(
    "--mca pml ucx --mca opal_common_ucx_tls any --mca opal_common_ucx_devices any".split(" "),
  ),
};

export interface Ended {
  /** Of mpirun; 124 and 137 where it had to be ended from here. */
  readonly code: number | null;
  readonly output: string;
  readonly milliseconds: number;
}

export interface LaunchOptions {
  readonly environment?: { readonly [name: string]: string };
  /** After that it is ended by force. Default 60. */
  readonly seconds?: number;
  /** Called once the job has been started. */
  readonly started?: (child: ChildProcess) => void;
}

/** Open MPI refuses root and more ranks than cores unless it is told. */
export const permissions = {
  OMPI_ALLOW_RUN_AS_ROOT: "1",
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
  OMPI_MCA_rmaps_base_oversubscribe: "1",
};

/** Runs `node PROGRAM ARGS` on so many ranks. mpirun can hang after an abort, so it is ended after a while in any case. */
export async function launch(
  { command, library }: Mpi,
  ranks: number,
  program: string,
  args: readonly string[] = [],
  { environment = {}, seconds = 60, started }: LaunchOptions = {},
): Promise<Ended> {
  const line = [
    "-k",
    "5",
    String(seconds),
    ...command,
    "-n",
    String(ranks),
    process.execPath,
    program,
    ...args,
  ];
  const begin = performance.now();
  const child = spawn("timeout", line, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...permissions, MM_MPI_LIBRARY: library, ...environment },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  started?.(child);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output, milliseconds: performance.now() - begin };
}
