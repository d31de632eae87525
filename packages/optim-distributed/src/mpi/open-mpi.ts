import { isMainThread } from "node:worker_threads";
import { OptimError } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { aPositive, aString, checkSchema } from "@mm/optim-core/schema";
import { abiOf } from "./abi.ts";
import { watchExits } from "./exits.ts";
import { MpiFunctions } from "./functions.ts";
import { Job } from "./job.ts";
import { candidates, launcherFor, launcherOf } from "./launcher.ts";
import { type MpiCommunicator, mpiCommunicator } from "./mpi-communicator.ts";
import { loadFirst, type NativeLibrary } from "./native.ts";

export interface OpenMpiOptions {
  /**
   * The library's file. Default: the variable MM_MPI_LIBRARY, then that of the launcher that started this process, then libmpi.so.40
   * (Open MPI), libmpich.so.12 (MPICH, Debian's name), libmpi.so.12 (MPICH, Intel MPI).
   */
  readonly library?: string;
  /** How long a call waits for the other ranks, in milliseconds. Default 300,000. */
  readonly timeoutMs?: number;
}

let opened: MpiCommunicator | undefined;

/**
 * Joins the job that mpirun, srun or another launcher of MPI started, and returns the communicator of all its ranks. Without a launcher the
 * job is this process alone: rank 0 of 1. Needs Linux, the package koffi and a library of MPI. Once per process, in its main thread.
 *
 * From here on the ends of this process are those of the job: an error that nobody catches ends it with exit code 70, and so does
 * `process.exit()` before `close()` (with its own code, where that is not 0). A program that runs to its end closes by itself. Signals are
 * left to the program.
 *
 * UCX, on networks where Open MPI is made of it, is told to keep its hands off signals and mmap (UCX_ERROR_SIGNALS, UCX_MEM_MMAP_HOOK_MODE), unless
 * the environment says otherwise. It then registers buffers with the network anew.
 *
 * The asynchronous calls wait on a thread of Node's pool, of which there are four (UV_THREADPOOL_SIZE); reading files takes them too.
 *
 * @throws OptimError `library-missing`, `launcher-mismatch` when the launcher is another MPI's, `unsupported`, `invalid-option`,
 * `unknown-option`, `communication-error`
 */
export function openMpi(options: OpenMpiOptions = {}): MpiCommunicator {
  checkSchema("invalid-option", "openMpi", options, {
    fields: { "library?": aString, "timeoutMs?": aPositive },
  });
  if (opened !== undefined)
    refuse("invalid-option", "openMpi", "one call in a process; pass its communicator on", "a second");
  if (process.platform !== "linux") refuse("unsupported", "openMpi", "Linux", process.platform);
  if (!isMainThread) refuse("unsupported", "openMpi", "the main thread of a process", "a worker");
  // UCX, of which Open MPI is made on some networks, would take SIGSEGV, by which V8 finds accesses outside of WebAssembly's memory.
  process.env["UCX_ERROR_SIGNALS"] ??= "";
  // It would also rewrite the instructions of mmap and munmap while other threads of V8 run them: one process in some hundred died of SIGSEGV.
  process.env["UCX_MEM_MMAP_HOOK_MODE"] ??= "none";
  const named = options.library ?? (process.env["MM_MPI_LIBRARY"] || undefined);
  const { name, library } = loadFirst(named === undefined ? candidates(process.env) : [named]);
  const version = versionOf(library);
  const abi = abiOf(version);
  if (abi === undefined) refuse("unsupported", "openMpi", "Open MPI, MPICH, Intel MPI or MVAPICH", version);
  const functions = new MpiFunctions(library, abi);
  const handles = abi.handles(library);
  if (functions.number("Initialized") !== 0) {
    refuse("invalid-option", "openMpi", "a library that nobody else initialized", name);
  }
  const multiple = 3; // MPI_THREAD_MULTIPLE: requests are waited for on other threads.
  const provided = functions.number("Init_thread", null, null, multiple);
  const job = new Job(functions, handles, options.timeoutMs ?? 300_000);
  if (provided < multiple) {
    job.finalize();
    refuse("unsupported", "openMpi", "a library built for threads (MPI_THREAD_MULTIPLE)", version);
  }
  requireOwnLauncher(job, version, name);
  const world = mpiCommunicator(job, handles.world, version);
  opened = world;
  watchExits({
    rank: world.rank,
    closed: () => job.closed,
    close: () => world.close(),
    abort: (exitCode) => world.abort(exitCode),
  });
  return world;
}

function versionOf(library: NativeLibrary): string {
  const text = Buffer.alloc(8192);
  const length = new Int32Array(1);
  library.func("MPI_Get_library_version", "int", ["void *", "void *"])(text, length);
  const [first = ""] = text.toString("latin1", 0, length[0]).split(/[\n,\0]/, 1);
  return first.replaceAll(/\s+/g, " ");
}

/** Under another MPI's launcher every process is rank 0 of 1: as many trainings as processes, and no error. */
function requireOwnLauncher(job: Job, version: string, name: string): void {
  const { command, size } = launcherOf(process.env);
  const found = job.functions.number("Comm_size", job.handles.world);
  if (size === 1 || found > 1) return;
  job.finalize();
  const other = name.startsWith("libmpi.so.40") ? "libmpich.so.12" : "libmpi.so.40";
  throw new OptimError("launcher-mismatch", "openMpi", {
    expected: `one of the ${size} processes that ${command} started`,
    received: `a process alone, by ${version} (${name})`,
    hint: `Start it with ${launcherFor(version)}, or name the library of ${command} in MM_MPI_LIBRARY, perhaps ${other}`,
  });
}
