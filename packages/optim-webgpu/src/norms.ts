import type { Device } from "./device.ts";
import { normKernel, partialsPerWorkgroup, partialWords } from "./kernel/index.ts";
import type { Vector } from "./storage.ts";
import { bindingAlignment, bufferUsage } from "./usage.ts";

/** vec4s for a workgroup, up to the most workgroups a vector. */
const vec4sPerGroup = 1024;
const mostGroups = 16;

/** The 2-norms of vectors, as of the call: a dispatch each, and one read of what their threads found. Waits for the device. */
export async function readNorms(device: Device, vectors: readonly Vector[]): Promise<readonly number[]> {
  if (vectors.length === 0) return [];
  const starts: number[] = [];
  const words = new Uint32Array((bindingAlignment / 4) * vectors.length);
  let end = 0;
  for (const [index, { place }] of vectors.entries()) {
    starts.push(end);
    words.set([place.start / 4, Math.ceil(place.length / 4), end], (bindingAlignment / 4) * index);
    end += partialsPerWorkgroup * groupsOf(place.length);
  }
  const usage = bufferUsage.uniform | bufferUsage.copyTarget;
  const ranges = device.createBuffer("norm ranges", words.byteLength, usage);
  const partials = device.createBuffer("norms", 4 * partialWords * end);
  device.gpu.queue.writeBuffer(ranges, 0, words);
  const kernel = device.kernel(normKernel());
  const encoder = device.createEncoder("norms");
  const pass = encoder.beginComputePass({ label: "optim norms" });
  pass.setPipeline(kernel.pipeline);
  for (const [index, { buffer, place }] of vectors.entries()) {
    const range = { buffer: ranges, offset: bindingAlignment * index, size: 16 };
    pass.setBindGroup(0, device.bind(kernel, [{ buffer }, range, { buffer: partials }]));
    pass.dispatchWorkgroups(groupsOf(place.length));
  }
  pass.end();
  device.submit([encoder.finish()]);
  try {
    const found = new DataView(
      await device.readNow([{ buffer: partials, offset: 0, size: 4 * partialWords * end }]),
    );
    return starts.map((start, index) => normOf(found, start, starts[index + 1] ?? end));
  } finally {
    ranges.destroy();
    partials.destroy();
  }
}

const groupsOf = (length: number): number =>
  Math.min(mostGroups, Math.max(1, Math.ceil(length / 4 / vec4sPerGroup)));

/** Of partials, see `reductionFunctions`, in float64, where no square of a float32 leaves the range. */
function normOf(partials: DataView, start: number, end: number): number {
  let sum = 0;
  for (let at = 4 * partialWords * start; at < 4 * partialWords * end; at += 4 * partialWords) {
    const largest = partials.getFloat32(at, true);
    if (!Number.isFinite(largest)) sum += largest;
    else sum += partials.getFloat32(at + 8, true) * partials.getFloat32(at + 4, true) ** 2;
  }
  return Math.sqrt(sum);
}
