import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createOptimWrapper } from "@mm/optim-core";
import type { Communicator } from "@mm/optim-distributed";
import { localCommunicators } from "@mm/optim-distributed/testing";
import { sgd } from "@mm/optim-rules";
import { createRun, type RunOptions } from "@mm/optim-train";
import { wasmOptimizer } from "@mm/optim-wasm";
import { expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";
import { temporaryFolder } from "./loop.ts";

/**
 * One rank of a job whose ranks all train on the same: how their gradients are summed is a matter of `@mm/optim-distributed`, and tested with
 * processes in test/mpi. Windows of 2.
 */
function createRank(communicator: Communicator, folder: string, options: Partial<RunOptions> = {}) {
  const w = new Float32Array(1);
  const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w }), { accumulativeCounts: 2 });
  const lines: number[] = [];
  const run = createRun({
    until: 20,
    ranks: communicator,
    store: checkpointStore(openCheckpoints(folder)),
    log: { every: 3, to: (step) => void lines.push(step) },
    ...options,
    optim,
  });
  const train = async (): Promise<void> => {
    for await (const _ of run) {
      run.update(({ grad, scale }) => {
        const gradient = grad("w");
        gradient[0] = (gradient[0] as number) + scale;
        return 0;
      });
    }
  };
  return { w, run, train, lines };
}

const all = async (
  size: number,
  folder: string,
  options: (rank: number) => Partial<RunOptions> = () => ({}),
) => {
  const ranks = localCommunicators(size).map((one, rank) => createRank(one, folder, options(rank)));
  await Promise.all(ranks.map(({ train }) => train()));
  return ranks;
};

test("rank 0 alone logs and saves, where no window is open", async () => {
  const folder = temporaryFolder();
  const ranks = await all(2, folder, () => ({ saveEvery: 5 }));
  expect(ranks.map(({ lines }) => lines)).toEqual([[3, 6, 9, 12, 15, 18], []]);
  expect(ranks.map(({ w }) => w[0])).toEqual([-10, -10]);
  // Of 5 and 15, which are in mid-window, the next iteration; then 10 and 20.
  const store = checkpointStore(openCheckpoints(folder, { keep: Infinity }));
  expect((await store.find())?.run).toMatchObject({ iteration: 20 });
  expect(await openCheckpoints(folder).list()).toHaveLength(3);
});

test("a signal at one rank stops all after one iteration, where no window is open", async () => {
  const controller = new AbortController();
  const ranks = await all(2, temporaryFolder(), (rank) => ({
    until: 1000,
    agreeEvery: 5,
    log: {
      every: 7,
      to(step) {
        if (step >= 21) controller.abort();
      },
    },
    // Rank 1 is told, rank 0 logs.
    ...(rank === 1 && { signal: controller.signal }),
  }));
  expect(ranks.map(({ run }) => run.stopped)).toEqual(["another rank", "signal"]);
  // Noted after 21, asked at 25, which is in mid-window.
  expect(ranks.map(({ run }) => run.iteration)).toEqual([26, 26]);
});

test("pauses are refused: the other ranks would wait", () => {
  const [first] = localCommunicators(2);
  const { run } = createRank(first as Communicator, temporaryFolder());
  expect(thrownBy(() => run.pause()).code).toBe("unsupported");
});
