import { allSizes, fewSizes, testExtremes } from "./extremes.ts";
import { webgpuFactory } from "./factory.ts";
import { countDevice } from "./support/counted.ts";
import { openDevice } from "./support/node.ts";

const device = await openDevice();
const counted = countDevice(device);
const factoryOf = (home: "buffers" | "arena") =>
  webgpuFactory(device, { name: `webgpu, ${home}`, home }, counted);

testExtremes(factoryOf("buffers"), allSizes);
testExtremes(factoryOf("arena"), fewSizes);
