// The backends on which scripts/golden.mjs runs recordings: read from the sources, so that no build is needed.
import { type LossClosure, type OptimizerFactory, referenceFactory } from "@mm/optim-conformance";
import { type GoldenFile, type GoldenResult, runGolden } from "@mm/optim-recordings";

import type { Capabilities } from "@mm/optim-core";
import { type AnyFactory, Kit } from "../packages/optim-conformance/src/kit/kit.ts";
import { kitRules, trainBeside } from "../packages/optim-conformance/src/kit/rules.ts";

export { formatResult, formatSummary, parseGoldenFile } from "@mm/optim-recordings";

/** A backend, its types forgotten. */
interface Backend {
  readonly golden: (file: GoldenFile) => AsyncGenerator<GoldenResult, void, undefined>;
  readonly rules: () => AsyncGenerator<RuleResult, void, undefined>;
}

/** How far a rule strays from the reference in the kit's twelve steps: |a − b| ÷ max(1, |b|) of parameters. */
export interface RuleResult {
  readonly name: string;
  readonly passed: boolean;
  readonly largestError: number;
}

function on<P, Loss extends LossClosure, LossValue>(factory: OptimizerFactory<P, Loss, LossValue>): Backend {
  return {
    golden: (file) => runGolden(file, factory),
    rules: () => measureRules(factory as unknown as AnyFactory),
  };
}

async function* measureRules(factory: AnyFactory): AsyncGenerator<RuleResult, void, undefined> {
  for (const [name, rule] of kitRules) {
    const kit = new Kit(factory, {} as Capabilities);
    let largestError = 0;
    let passed = true;
    try {
      await trainBeside(kit, rule, async (subject, reference, step) => {
        const [received, expected] = [await subject.read(), await reference.read()];
        for (const [name, values] of Object.entries(expected)) {
          for (const [index, b] of values.entries()) {
            const error = Math.abs((received[name]?.[index] ?? Number.NaN) - b) / Math.max(1, Math.abs(b));
            largestError = Math.max(largestError, error);
          }
        }
        await kit.expectReference(`step ${step}`, subject, reference);
      });
    } catch {
      passed = false;
    }
    kit.dispose();
    yield { name, passed, largestError };
  }
}

/** By name, each loaded when it is asked for: it may not be installed. */
export const backends: { readonly [name: string]: () => Promise<Backend> } = {
  reference: async () => on(referenceFactory()),
  wasm: async () => on((await import("../packages/optim-wasm/test/factory.ts")).wasmFactory),
  "tfjs-cpu": () => tfjs("tfjs-cpu, in place"),
  "tfjs-wasm": () => tfjs("tfjs-wasm, in place"),
  "tfjs-cpu-ops": () => tfjs("tfjs-cpu, by ops"),
  "tfjs-wasm-ops": () => tfjs("tfjs-wasm, by ops"),
  webgpu: async () => {
    const { defaultAdapter, requestDevice } = await import("../packages/optim-webgpu/test/support/dawn.ts");
    const { webgpuFactory } = await import("../packages/optim-webgpu/test/factory.ts");
    return on(webgpuFactory(await requestDevice(defaultAdapter), { name: "webgpu", home: "buffers" }));
  },
};

async function tfjs(name: string): Promise<Backend> {
  const { paths } = await import("../packages/optim-tfjs/test/backends.ts");
  const { tfjsFactory } = await import("../packages/optim-tfjs/test/factory.ts");
  const path = paths.find((candidate) => candidate.name === name);
  if (path === undefined) throw new Error(`no execution path ${name}`);
  return on(await tfjsFactory(path));
}
