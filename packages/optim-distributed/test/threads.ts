import { Worker } from "node:worker_threads";
import type { Results } from "./cases/index.ts";

/** Runs cases on so many ranks, each in a thread. @returns results by rank */
export function inThreads(
  program: string,
  size: number,
  names: readonly string[],
  folder: string,
  options: { readonly timeoutMs?: number; readonly bytes?: number } = {},
): Promise<readonly Results[]> {
  const { bytes = 1 << 16, ...others } = options;
  const shared = new SharedArrayBuffer(bytes);
  return Promise.all(
    Array.from(
      { length: size },
      (_, rank) =>
        new Promise<Results>((resolve, reject) => {
          const worker = new Worker(program, {
            workerData: { shared, rank, size, names, folder, options: others },
          });
          worker.once("message", resolve).once("error", reject);
        }),
    ),
  );
}
