import type { Effort, Section } from "../measure.ts";
import { type Adapter, ownAdapter, softwareAdapters } from "./adapters.ts";
import { adamKernels } from "./kernels.ts";
import { trainingSteps } from "./network.ts";
import { sizesFor } from "./sizes.ts";
import { adamOnVariables, startTfjs } from "./tfjs.ts";

/** The measurements on one adapter. */
export interface AdapterSections {
  /** As the page names it. */
  readonly name: string;
  readonly info: Readonly<Record<"vendor" | "architecture" | "device" | "description", string>>;
  readonly sections: readonly Section[];
}

/** On each adapter in software that this machine has: none, SwiftShader, lavapipe. */
export async function webgpuInSoftware(effort: Effort): Promise<readonly AdapterSections[]> {
  const measured: AdapterSections[] = [];
  for (const open of await softwareAdapters()) measured.push(await measure(await open(), effort));
  return measured;
}

/** On the adapter that WebGPU prefers on this machine; `undefined` where it finds none. */
export async function webgpuHere(effort: Effort): Promise<AdapterSections | undefined> {
  const adapter = await ownAdapter();
  return adapter && measure(adapter, effort);
}

async function measure(adapter: Adapter, effort: Effort): Promise<AdapterSections> {
  const sections: Section[] = [];
  for (const size of sizesFor(effort)) sections.push(await adamKernels(adapter, size, effort));
  const flush = await startTfjs(adapter);
  for (const size of sizesFor(effort)) sections.push(await adamOnVariables(adapter, flush, size, effort));
  sections.push(...(await trainingSteps(adapter, flush, effort)));
  await adapter.close();
  const { vendor, architecture, device, description } = adapter.info;
  return { name: adapter.name, info: { vendor, architecture, device, description }, sections };
}
