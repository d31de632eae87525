import { createOptimWrapper } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { expect, test } from "vitest";
import { countDevice } from "./support/counted.ts";
import { openDevice } from "./support/node.ts";

test("bytes of buffers with AdamW: 2 less of each element and slot, and as many dispatches", async () => {
  const device = await openDevice();
  const counted = countDevice(device);
  const trained = (options: object): { readonly bytes: number; readonly dispatches: number } => {
    // Two whole rows of tiles, so that nothing is rounded up.
    const arena = createArena(device, { a: 4096, b: 4096 });
    const before = counted.alive.bytes;
    const optim = createOptimWrapper(webgpuOptimizer(adamw(), arena, { device, ...options }));
    const update = (): void =>
      void optim.updateParams(({ grad }) => {
        for (const name of ["a", "b"] as const) grad(name);
      });
    update();
    counted.reset();
    update();
    const { dispatches } = counted.counts;
    const bytes = counted.alive.bytes - before;
    optim.dispose();
    for (const { buffer } of Object.values(arena)) buffer.destroy();
    return { bytes, dispatches };
  };
  const [wide, narrow] = [trained({}), trained({ slotDtype: "bfloat16" })];
  expect(wide.bytes - narrow.bytes).toBe(2 * 2 * 8192);
  expect(narrow.dispatches).toBe(wide.dispatches);
});
