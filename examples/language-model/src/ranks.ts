import type { Ranks } from "./optim.ts";

const launchers = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];

/** The ranks of the job that mpirun started, or `undefined` where this process is alone, which then needs no library of MPI. */
export async function joinRanks(): Promise<Ranks | undefined> {
  if (!launchers.some((name) => name in process.env)) return undefined;
  const { openMpi } = await import("@mm/optim-distributed/mpi");
  return openMpi();
}
