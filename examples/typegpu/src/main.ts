import { noAdapter, openDevice } from "@mm-examples/coordinate-network/device";
import { d } from "typegpu";
import { globals } from "webgpu";
import { fitPoints } from "./fit-points.ts";

// TypeGPU expects the constants of WebGPU, which browsers have.
Object.assign(globalThis, globals);
const opened = await openDevice();
if (opened === undefined) {
  console.error(noAdapter);
  process.exitCode = 1;
} else {
  // A helix.
  const wanted = Array.from({ length: 100 }, (_, i) => d.vec3f(Math.cos(i / 8), Math.sin(i / 8), i / 50 - 1));
  const { points, optim, step } = fitPoints(opened.device, wanted);
  for (let count = 1; count <= 100; count += 1) {
    step();
    if (count % 25 === 0)
      console.log(`step ${count}: gradient norm ${(await optim.readMetrics()).gradNorm?.toFixed(4)}`);
  }
  const [first] = await points.read();
  console.log(`the first point: ${String(first)}, wanted: ${String(wanted[0])}`);
  optim.dispose();
  await opened.close();
}
