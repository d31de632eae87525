// node large.mjs FILE: writes a checkpoint of 200 MB, or reads it where it is there already. The peak of memory that this took beyond what
// was there before goes to stdout, in MB. With `copied` it makes one array of it instead.
import { existsSync } from "node:fs";
import { type Checkpoint, encodeCheckpoint } from "@mm/optim-checkpoint";
import { readCheckpoint, writeCheckpoint } from "@mm/optim-checkpoint/node";
import type { OptimWrapperStateDict } from "@mm/optim-core";

const [file = "", how = ""] = process.argv.slice(2);
const elements = 12_500_000;
const array = (value: number): Float32Array => new Float32Array(elements).fill(value);

/** Adam over one parameter of 50 MB: the parameter, two slots and a pending gradient. */
function checkpoint(): Checkpoint {
  const optim: OptimWrapperStateDict = {
    format: "optim-wrapper",
    version: 1,
    optimizer: {
      format: "optim-optimizer",
      version: 1,
      rule: "Adam",
      groups: [{ name: "0", params: ["w"], hyperparameters: { lr: 1e-3 } }],
      params: [
        {
          name: "w",
          shape: [elements],
          step: 1,
          slots: { expAvg: array(1), expAvgSq: array(2) },
          scalarSlots: {},
          gradient: array(3),
        },
      ],
      steps: 1,
      skipped: 0,
    },
    counts: { innerCount: 1, windowStart: 1, weightSum: 0 },
  };
  return { optim, tensors: { w: array(4) } };
}

/** In MB. `maxRSS` is in kilobytes, whatever the system. */
const peak = (): number => process.resourceUsage().maxRSS / 1000;

let result: number;
if (existsSync(file)) {
  const before = peak();
  const { tensors } = await readCheckpoint(file);
  if (tensors["w"]?.data[elements - 1] !== 4) throw new Error("not what was written");
  result = peak() - before;
} else {
  const made = checkpoint();
  const before = peak();
  if (how === "copied") encodeCheckpoint(made).bytes();
  else await writeCheckpoint(file, made);
  result = peak() - before;
}
process.stdout.write(String(Math.round(result)));
