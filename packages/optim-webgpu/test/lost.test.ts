import { createOptimWrapper, isOptimError, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { createArena, webgpuOptimizer, type WebgpuParameters } from "@mm/optim-webgpu";
import { describe, expect, test } from "vitest";
import { webgpuFactory } from "./factory.ts";
import { openDevice } from "./support/node.ts";

const codeOf = (error: unknown): unknown => (isOptimError(error) ? error.code : error);
const options: OptimWrapperOptions = { lossScale: "dynamic", clipGrad: { maxNorm: 1 } };

/** A wrapper over an arena, with a loss whose gradients are 1, 2 and 3. */
async function start() {
  const device = await openDevice();
  const arena = createArena(device, { w: 2, b: 1 });
  const { linearLoss } = webgpuFactory(device, { name: "webgpu", home: "buffers" });
  const parameters: WebgpuParameters = arena;
  const optim = createOptimWrapper(webgpuOptimizer(adam({ lr: 0.1 }), parameters, { device }), options);
  const loss = linearLoss([
    { name: "w", parameter: arena.w, gradient: Float32Array.of(1, 2) },
    { name: "b", parameter: arena.b, gradient: Float32Array.of(3) },
  ]);
  return { device, optim, loss };
}

test("what waits for a device that is lost rejects, and says so", async () => {
  const { device, optim, loss } = await start();
  optim.updateParams(loss);
  const waiting = [optim.stateDict(), optim.readMetrics(), optim.optimizer.readParameters()];
  device.destroy();
  const read = await Promise.allSettled(waiting);
  expect(read.map((each) => each.status === "rejected" && codeOf(each.reason))).toEqual(
    waiting.map(() => "device-lost"),
  );
});

test("what was enqueued before the device is lost, and read after it, rejects", async () => {
  const { device, optim, loss } = await start();
  optim.updateParams(loss);
  device.destroy();
  // The device is lost, and nobody knows it yet.
  await expect(optim.readMetrics()).rejects.toMatchObject({ code: "device-lost" });
});

describe("on a lost device", () => {
  test("every call is refused, but getters and dispose", async () => {
    const { device, optim, loss } = await start();
    optim.updateParams(loss);
    const state = await optim.stateDict();
    optim.backward(loss);
    device.destroy();
    await device.lost;
    const { optimizer, lossScaler } = optim;
    const calls: Readonly<Record<string, () => unknown>> = {
      updateParams: () => optim.updateParams(loss),
      backward: () => optim.backward(loss),
      step: () => optim.step(),
      stateDict: () => optim.stateDict(),
      readMetrics: () => optim.readMetrics(),
      loadStateDict: () => optim.loadStateDict(state),
      readGradients: () => optimizer.readGradients(),
      writeGradients: () => optimizer.writeGradients({ b: Float32Array.of(1) }),
      readParameters: () => optimizer.readParameters(),
      writeParameters: () => optimizer.writeParameters({ b: Float32Array.of(1) }),
      createLossScaler: () => optimizer.createLossScaler("dynamic"),
      readScale: () => lossScaler?.readScale(),
      createArena: () => createArena(device, { w: 1 }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const error: unknown = await Promise.resolve()
        .then(call)
        .catch((reason: unknown) => reason);
      expect([name, codeOf(error)]).toEqual([name, "device-lost"]);
    }
    expect(optim.getLr()).toEqual({ lr: [0.1] });
    optim.dispose();
    optim.dispose();
  });

  test("the refusal tells what to do", async () => {
    const { device, optim } = await start();
    device.destroy();
    await device.lost;
    const error: unknown = await optim.readMetrics().catch((reason: unknown) => reason);
    expect(isOptimError(error) && error.message).toMatch(/new device.*stateDict/);
  });
});

test("a new optimizer on a new device goes on, to the bit, from the last state and the parameters saved with it", async () => {
  const whole = await start();
  for (let i = 0; i < 6; i += 1) whole.optim.updateParams(whole.loss);

  const before = await start();
  for (let i = 0; i < 3; i += 1) before.optim.updateParams(before.loss);
  const [state, parameters] = await Promise.all([
    before.optim.stateDict(),
    before.optim.optimizer.readParameters(),
  ]);
  // Lost with the device.
  before.optim.updateParams(before.loss);
  before.device.destroy();
  await before.device.lost;
  expect(() => before.optim.updateParams(before.loss)).toThrow(/new device/);

  const after = await start();
  after.optim.optimizer.writeParameters(parameters);
  await after.optim.loadStateDict(state);
  for (let i = 0; i < 3; i += 1) after.optim.updateParams(after.loss);
  expect(await after.optim.optimizer.readParameters()).toEqual(await whole.optim.optimizer.readParameters());
  expect(await after.optim.stateDict()).toEqual(await whole.optim.stateDict());
});
