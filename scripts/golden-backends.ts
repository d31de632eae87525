// What scripts/golden.mjs runs recordings on: read from the sources, so that no build is needed.
import type { LossClosure, OptimizerFactory } from "@mm/optim-conformance";
import { referenceFactory } from "@mm/optim-conformance";
import { type GoldenFile, type GoldenResult, runGolden } from "@mm/optim-conformance/golden";

export { formatResult, formatSummary, parseGoldenFile } from "@mm/optim-conformance/golden";

type Run = (file: GoldenFile) => AsyncGenerator<GoldenResult, void, undefined>;

const on =
  <P, Loss extends LossClosure, LossValue>(factory: OptimizerFactory<P, Loss, LossValue>): Run =>
  (file) =>
    runGolden(file, factory);

/** By name, each loaded when it is asked for: it may not be installed. */
export const backends: { readonly [name: string]: () => Promise<Run> } = {
  reference: async () => on(referenceFactory()),
  wasm: async () => on((await import("../packages/optim-wasm/test/factory.ts")).wasmFactory),
  "tfjs-cpu": () => tfjs("tfjs-cpu, in place"),
  "tfjs-wasm": () => tfjs("tfjs-wasm, in place"),
  "tfjs-cpu-ops": () => tfjs("tfjs-cpu, by ops"),
  "tfjs-wasm-ops": () => tfjs("tfjs-wasm, by ops"),
};

async function tfjs(name: string): Promise<Run> {
  const { paths } = await import("../packages/optim-tfjs/test/backends.ts");
  const { tfjsFactory } = await import("../packages/optim-tfjs/test/factory.ts");
  const path = paths.find((candidate) => candidate.name === name);
  if (path === undefined) throw new Error(`no execution path ${name}`);
  return on(await tfjsFactory(path));
}
