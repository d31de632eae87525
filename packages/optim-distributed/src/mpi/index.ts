// MPI for Node: Open MPI, MPICH and those with MPICH's binary interface, through koffi.
export type { MpiCommunicator } from "./mpi-communicator.ts";
export { openMpi, type OpenMpiOptions } from "./open-mpi.ts";
