// node ranks.mjs FOLDER CASE…: runs the cases on this rank of MPI, and writes what came out to FOLDER/RANK.json.
import { writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { openMpi } from "@mm/optim-distributed/mpi";
import { runCases } from "../cases/index.ts";

const [folder = "", ...names] = process.argv.slice(2);
const communicator = openMpi({ timeoutMs: 20_000 });
const results = await runCases(names, communicator, folder);
writeFileSync(
  join(folder, `${communicator.rank}.json`),
  JSON.stringify({ ...results, version: communicator.version, host: hostname() }),
);
