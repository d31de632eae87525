import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { cosine, createScheduler } from "@mm/optim-schedule";
import { createBatches, createBest, createRun, type RunOptions } from "@mm/optim-train";
import { wasmOptimizer } from "@mm/optim-wasm";
import { onTestFinished } from "vitest";

/** A folder for the time of the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "train-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** 103 samples in batches of 8: 13 batches an epoch, the last of 7. Windows of 4: 3 whole ones, and one of 1 that is flushed. */
const samples = Float32Array.from({ length: 103 }, (_, index) => Math.sin(index));

/** y = 2x − 1, fitted by slope·x + offset, with all that a run can hold. */
export function createLoop(folder: string, until: number, more: Partial<RunOptions> = {}, length = 60) {
  const line = new Float32Array(2);
  const optim = createOptimWrapper(wasmOptimizer(adam({ lr: 0.01 }), { line }), { accumulativeCounts: 4 });
  const scheduler = createScheduler(optim, { lr: cosine({ length, etaMin: 1e-3 }) });
  const batches = createBatches({ count: samples.length, size: 8, seed: 3 });
  const best = createBest({ mode: "min" });
  /** Everything that is logged but times. */
  const lines: string[] = [];
  const run = createRun({
    schedulers: scheduler,
    until,
    state: { batches, best },
    store: checkpointStore(openCheckpoints(folder)),
    log: {
      every: 1,
      to(step, metrics) {
        const times = new Set(["seconds", "perSecond", "secondsLeft"]);
        lines.push(
          JSON.stringify([step, metrics], (key, value: unknown) => (times.has(key) ? undefined : value)),
        );
      },
    },
    ...more,
    optim,
  });
  const lossOf =
    (indices: Uint32Array) =>
    ({ grad, scale }: { grad(name: "line"): Float32Array; readonly scale: number }): number => {
      const gradient = grad("line");
      const [slope = 0, offset = 0] = line;
      let loss = 0;
      for (const index of indices) {
        const x = samples[index] as number;
        const error = slope * x + offset - (2 * x - 1);
        gradient[0] = (gradient[0] as number) + (scale * 2 * error * x) / indices.length;
        gradient[1] = (gradient[1] as number) + (scale * 2 * error) / indices.length;
        loss += error ** 2 / indices.length;
      }
      return loss;
    };
  const train = async (stopAfter = Infinity): Promise<void> => {
    for await (const iteration of run) {
      const { indices, last } = batches.next();
      run.update(lossOf(indices), { weight: indices.length });
      if (last) run.flush({ epoch: true });
      if (run.every(10) && best.observe(Math.abs((line[0] as number) - 2))) run.log({ best: 1 });
      if (iteration === stopAfter) run.stop("as asked");
    }
  };
  /** All that decides what comes next. */
  const place = () => ({
    line: [...line],
    batches: batches.stateDict(),
    best: best.stateDict(),
    updates: scheduler.updates,
    epochs: scheduler.epochs,
    innerCount: optim.innerCount,
    lr: optim.getLr(),
  });
  return { line, optim, scheduler, batches, best, run, train, lines, place };
}
