// Prints what runs of an update rule:
//
//   pnpm kernels adamw                              its program, as core traces it
//   pnpm kernels adamw --wgsl                       the compute shaders of @mm/optim-webgpu
//   pnpm kernels adamw --wat                        the module of @mm/optim-wasm, as WebAssembly text
//   pnpm kernels sgd '{"momentum": 0.9}' --program  with other hyperparameters
//
// Nothing is compiled and no device is needed.
import { parseArgs } from "node:util";
import { sourceServer } from "./source-server.mjs";

const flags = { program: { type: "boolean" }, wgsl: { type: "boolean" }, wat: { type: "boolean" } };
const { values, positionals } = parseArgs({ allowPositionals: true, options: flags });
const [rule, hyperparameters = "{}"] = positionals;
if (rule === undefined)
  fail("usage: pnpm kernels RULE [HYPERPARAMETERS as JSON] [--program] [--wgsl] [--wat]");

const vite = await sourceServer();
try {
  const { textsOf } = await vite.ssrLoadModule("/scripts/kernel-texts.ts");
  const wanted = Object.keys(flags).filter((kind) => values[kind]);
  for (const text of textsOf(rule, hyperparameters, wanted.length > 0 ? wanted : ["program"])) {
    process.stdout.write(text);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
} finally {
  await vite.close();
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
