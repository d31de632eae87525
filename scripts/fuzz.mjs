// Runs random sequences of calls beside the model of a wrapper, on every backend:
//
//   pnpm fuzz 5000             as many, of another seed each time
//   pnpm fuzz 5000 --seed 7    the same ones again
//
// A sequence that fails is made smaller and printed, with the seed. packages/optim-conformance/test/model says what is compared.
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root } from "./workspace.mjs";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seed: { type: "string" } } });
const [runs = "1000"] = positionals;
const { seed = String(randomInt(2 ** 31)) } = values;
if (![runs, seed].every((each) => /^\d+$/.test(each))) {
  console.error("usage: pnpm fuzz N [--seed S]");
  process.exit(2);
}
console.log(`${runs} sequences a backend, seed ${seed}`);
const { status } = spawnSync(
  join(root, "node_modules/.bin/vitest"),
  ["run", "--project", "node", "sequences.test.ts", "--testTimeout=0"],
  {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, FUZZ_RUNS: runs, FUZZ_SEED: seed, TYPE_TESTS: "off" },
  },
);
process.exitCode = status ?? 1;
