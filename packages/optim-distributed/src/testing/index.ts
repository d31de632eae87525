// Ranks in one process: programs for several machines are tested without MPI.
export { localCommunicators, type LocalCommunicatorOptions } from "./local-communicators.ts";
export { workerCommunicator, type WorkerCommunicatorOptions } from "./worker-communicator.ts";
