import { startBackend } from "@mm-examples/gan-digits/backend";
import type { Backend } from "@mm-examples/gan-digits/settings";
import { expect, it } from "vitest";
import { smallSettings } from "../settings.ts";
import { lossesOf, trained } from "../trained.ts";

it("five steps on WebGPU give the losses of wasm", { timeout: 300_000 }, async () => {
  const run = async (tfjsBackend: Backend): Promise<readonly number[]> => {
    const stop = await startBackend(tfjsBackend);
    const { training, lines } = await trained("muon", smallSettings({ steps: 5, tfjsBackend }), {
      logEvery: 1,
    });
    training.dispose();
    await stop();
    return lossesOf(lines);
  };
  const onWasm = await run("wasm");
  const onWebgpu = await run("webgpu");
  expect(onWasm.length).toBe(5);
  // Nats from 6.2 down, of which an ulp is 5e-7, by sums in another order.
  onWasm.forEach((loss, step) => expect(Math.abs(loss - onWebgpu[step]!)).toBeLessThan(1e-5));
});
