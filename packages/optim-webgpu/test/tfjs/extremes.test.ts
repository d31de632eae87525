import { fewSizes, testExtremes } from "../extremes.ts";
import { useTfjs } from "../support/tfjs.ts";
import { tfjsFactory } from "./factory.ts";

await useTfjs();
testExtremes(tfjsFactory("webgpu/tfjs"), fewSizes);
