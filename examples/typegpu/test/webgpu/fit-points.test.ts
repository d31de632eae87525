import { d } from "typegpu";
import { expect, test } from "vitest";
import { globals } from "webgpu";
import { openDevice } from "../../../../packages/optim-webgpu/test/support/node.ts";
import { fitPoints } from "../../src/fit-points.ts";

test("typed buffers are trained in place, and the padding of a vec3f stays 0", async () => {
  Object.assign(globalThis, globals);
  const device = await openDevice();
  const wanted = [d.vec3f(1, -2, 3), d.vec3f(-0.5, 0, 0.25)];
  const { points, optim, step } = fitPoints(device, wanted);
  step();
  // Adam's first step is lr × g ÷ |g|: 0.1 towards each coordinate, and none where the gradient is 0.
  const [first] = await points.read();
  for (const [index, coordinate] of [0.1, -0.1, 0.1].entries())
    expect(first?.[index]).toBeCloseTo(coordinate, 6);
  for (let count = 0; count < 200; count += 1) step();
  const { points: all = new Float32Array() } = await optim.optimizer.readParameters();
  expect(all).toHaveLength(8);
  const paddings = all.filter((_, index) => index % 4 === 3);
  expect([...paddings]).toEqual([0, 0]);
  for (const [index, value] of all.filter((_, index) => index % 4 !== 3).entries()) {
    expect(value).toBeCloseTo(wanted[Math.floor(index / 3)]?.[index % 3] as number, 2);
  }
  optim.dispose();
});
