/** How launchers tell the processes that they start how many there are, and which libraries they belong to. */
const launchers = [
  { variable: "OMPI_COMM_WORLD_SIZE", command: "mpirun.openmpi", libraries: ["libmpi.so.40"] },
  { variable: "PMI_SIZE", command: "mpirun.mpich", libraries: ["libmpich.so.12", "libmpi.so.12"] },
  { variable: "SLURM_STEP_NUM_TASKS", command: "srun", libraries: [] },
] as const;

type Environment = { readonly [name: string]: string | undefined };

/** The launcher of this process, as far as it shows: `size` is 1 where there is none. */
export function launcherOf(environment: Environment): { readonly command?: string; readonly size: number } {
  const found = launchers.find(({ variable }) => Number(environment[variable]) > 0);
  return found === undefined
    ? { size: 1 }
    : { command: found.command, size: Number(environment[found.variable]) };
}

/** Names of libraries in the order in which they are tried: those of the launcher that started this process come first. */
export function candidates(environment: Environment): readonly string[] {
  const all = launchers.flatMap(({ libraries }) => libraries);
  const first = launchers
    .filter(({ variable }) => environment[variable] !== undefined)
    .flatMap(({ libraries }) => libraries);
  return [...new Set<string>([...first, ...all])];
}

/** The launcher that goes with a library. */
export function launcherFor(version: string): string {
  return version.startsWith("Open MPI") ? "mpirun.openmpi" : "mpirun.mpich";
}
