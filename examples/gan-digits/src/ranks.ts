import { type Communicator as Ranks, distributed, shardOf } from "@mm/optim-distributed";
import { tfjsOptimizer } from "@mm/optim-webgpu/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import type { Batch } from "./batch.ts";

export type { Ranks };

/** How `mpirun` of Open MPI and of MPICH tell a process how many there are. */
const sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/** The ranks of the job that `mpirun` started; `undefined` where this process is alone, which then needs no MPI. */
export async function openRanks(): Promise<Ranks | undefined> {
  if (!sizes.some((name) => Number(process.env[name]) > 1)) return undefined;
  const { openMpi } = await import("@mm/optim-distributed/mpi");
  return openMpi();
}

/** Makes optimizers; on several ranks they sum the gradients of all. */
export function optimizerOn(ranks: Ranks | undefined): typeof tfjsOptimizer {
  if (!ranks) return tfjsOptimizer;
  const summing = (...given: Parameters<typeof tfjsOptimizer>) => distributed(tfjsOptimizer(...given), ranks);
  return summing as typeof tfjsOptimizer;
}

/** This rank's rows of a batch, which is disposed: all of it where there are no ranks. */
export function shareOf(batch: Batch, ranks: Ranks | undefined): Batch {
  if (!ranks) return batch;
  const { real, asked, input } = batch;
  const { from, to } = shardOf(real.shape[0], ranks);
  const rows = (all: tf.Tensor2D): tf.Tensor2D => tf.slice(all, [from, 0], [to - from, -1]);
  const share = { real: rows(real), asked: rows(asked), input: rows(input) };
  tf.dispose([real, asked, input]);
  return share;
}
