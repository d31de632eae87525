// A rank in a thread: runs the cases that the test names, and posts what came out.
import { parentPort, workerData } from "node:worker_threads";
import { workerCommunicator } from "@mm/optim-distributed/testing";
import { runCases } from "../cases/index.ts";

const { shared, rank, size, names, folder, options } = workerData as {
  readonly shared: SharedArrayBuffer;
  readonly rank: number;
  readonly size: number;
  readonly names: readonly string[];
  readonly folder: string;
  readonly options: { readonly timeoutMs?: number };
};
const communicator = workerCommunicator(shared, rank, size, options);
const results = await runCases(names, communicator, folder);
communicator.close();
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
parentPort?.postMessage(results);
