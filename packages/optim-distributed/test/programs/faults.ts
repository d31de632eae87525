// node faults.mjs KIND FOLDER: two ranks exchange twice; in between rank 1 does what the kind says.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { openMpi } from "@mm/optim-distributed/mpi";

const [kind = "", folder = ""] = process.argv.slice(2);
const communicator = openMpi({ timeoutMs: kind.startsWith("hang") ? 1000 : 20_000 });
const { rank } = communicator;
const note = (text: string): void => writeFileSync(join(folder, `${kind}-${rank}`), text);
const forever = (): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};

const faults: { readonly [kind: string]: () => unknown } = {
  none: () => undefined,
  error: () => {
    throw new Error("thrown on purpose");
  },
  rejection: () => void Promise.reject(new Error("rejected on purpose")),
  exit0: () => process.exit(0),
  exit3: () => process.exit(3),
  kill: () => process.kill(process.pid, "SIGKILL"),
  hang: forever,
  hangAsync: forever,
  hangInEnd: forever,
};

communicator.allReduceSync(new Float32Array([1]));
if (kind === "interrupt") {
  // The loop of a program that can be interrupted: all ranks stop after the same iteration.
  let asked = 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => (asked = 1));
  note("running");
  for (let iteration = 1; ; iteration += 1) {
    await setTimeout(10);
    const stop = new Int32Array([asked]);
    communicator.allReduceSync(stop);
    if (stop[0] === 0) continue;
    note(`stopped after ${iteration}`);
    break;
  }
  communicator.close();
  process.exit(0);
} else {
  if (rank === 1) {
    faults[kind]?.();
    // A rejection is seen at the next turn of the event loop.
    if (kind === "rejection") await setTimeout(60_000);
  }
  if (kind === "hangAsync") await communicator.allReduce(new Float32Array([1]));
  else if (kind !== "hangInEnd") communicator.allReduceSync(new Float32Array([1]));
  note("done");
}
