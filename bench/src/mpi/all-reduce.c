/* The loop of allReduceSync in C, called from Node in the same processes: the same library, memory and placement. */
#include <mpi.h>

/* Sums `count` floats over all ranks, `times` times. Returns the seconds that it took, or -1. */
double all_reduce(float *buffer, int count, int times) {
  double begin = MPI_Wtime();
  for (int i = 0; i < times; i++) {
    MPI_Request request;
    int done = 0;
    if (MPI_Iallreduce(MPI_IN_PLACE, buffer, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request)) return -1;
    while (!done)
      if (MPI_Test(&request, &done, MPI_STATUS_IGNORE)) return -1;
  }
  return MPI_Wtime() - begin;
}
