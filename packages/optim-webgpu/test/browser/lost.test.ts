import { createOptimWrapper, isOptimError } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { expect, test } from "vitest";
import { openDevice } from "../support/browser.ts";

// As lost.test.ts has it on Dawn: in which order a browser tells of the loss is its own affair.

test("reads that wait for a device that is lost reject, and so does everything after", async () => {
  const device = await openDevice();
  const optimizer = webgpuOptimizer(adam(), createArena(device, { w: 3 }), { device });
  const optim = createOptimWrapper(optimizer, { lossScale: "dynamic" });
  const update = (): unknown =>
    optim.updateParams(({ grad }) => {
      grad("w");
    });
  update();
  const waiting = [optim.stateDict(), optim.readMetrics()];
  device.destroy();
  waiting.push(optim.readMetrics());
  const codes = (await Promise.allSettled(waiting)).map(
    (read) => read.status === "rejected" && isOptimError(read.reason) && read.reason.code,
  );
  expect(codes).toEqual(["device-lost", "device-lost", "device-lost"]);
  expect(update).toThrow(/new device/);
  optim.dispose();
});
