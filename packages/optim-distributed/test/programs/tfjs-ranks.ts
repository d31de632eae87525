// node tfjs-ranks.mjs FOLDER: `distributed` on tfjs-cpu and tfjs-wasm; writes what came out to FOLDER/RANK.json.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openMpi } from "@mm/optim-distributed/mpi";
import { compareOnTfjs } from "../cases/tfjs.ts";

const [folder = ""] = process.argv.slice(2);
const communicator = openMpi({ timeoutMs: 20_000 });
const results = {
  cpu: await compareOnTfjs("cpu", communicator),
  wasm: await compareOnTfjs("wasm", communicator),
};
writeFileSync(join(folder, `${communicator.rank}.json`), JSON.stringify(results));
