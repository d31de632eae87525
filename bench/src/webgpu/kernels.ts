import { createOptimWrapper, type OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import { type Effort, ratio, type Section } from "../measure.ts";
import { AdamByHand } from "./adam-by-hand.ts";
import type { Adapter } from "./adapters.ts";
import { onDevice } from "./on-device.ts";
import type { Size } from "./sizes.ts";

/** The step alone: against a kernel by hand, and against moving the same bytes. */
export async function adamKernels(adapter: Adapter, size: Size, effort: Effort): Promise<Section> {
  const { device } = adapter;
  const { label, tensors, length } = size;
  // Kernels show where there is more to compute than to launch.
  const goal = length >= 10_000 ? { atMost: 1.1 } : undefined;
  const inTable = (column: string) => (label === "4 × 1M" ? { column: `${column}, ${label}` } : {});
  const names = Array.from({ length: tensors }, (_, index) => `w${index}`);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffers: GPUBuffer[] = [];
  const create = (size: number): GPUBuffer => {
    const buffer = device.createBuffer({ label: "bench", size, usage });
    buffers.push(buffer);
    return buffer;
  };
  const gradient = Float32Array.from({ length }, (_, index) => Math.sin(index));
  const filled = (): GPUBuffer => {
    const buffer = create(4 * length);
    device.queue.writeBuffer(buffer, 0, gradient);
    return buffer;
  };
  const given = filled();
  const byHand = new AdamByHand(
    device,
    names.map(() => filled()),
  );

  type Parameters = Readonly<Record<string, GPUBufferBinding>>;
  const own = (): Parameters =>
    Object.fromEntries(names.map((name) => [name, { buffer: create(4 * length) }]));
  const arena = (): Parameters => {
    const made = createArena(device, Object.fromEntries(names.map((name) => [name, length])));
    buffers.push(...new Set(Object.values(made).map(({ buffer }) => buffer)));
    return made;
  };
  // A step leaves the gradients where they are: one backward pass serves them all.
  const ready = (parameters: Parameters, options: OptimWrapperOptions = {}) => {
    const optim = createOptimWrapper(webgpuOptimizer(adam({ lr: 1e-3 }), parameters, { device }), options);
    optim.backward(({ encoder, grad }) => {
      for (const name of names) {
        const { buffer, offset } = grad(name);
        encoder.copyBufferToBuffer(given, 0, buffer, offset, 4 * length);
      }
      return undefined;
    });
    return optim;
  };
  const onBuffers = ready(own());
  const inArena = ready(arena());
  const careful = { clipGrad: { maxNorm: 1 }, lossScale: "dynamic" } as const;
  const carefulOnBuffers = ready(own(), careful);
  const carefulInArena = ready(arena(), careful);

  // In place, Adam reads 16 bytes a parameter and writes 12. A copy of 14 reads 14 and writes 14.
  const copied = names.map(
    () => [create(4 * Math.ceil((14 * length) / 4)), create(4 * Math.ceil((14 * length) / 4))] as const,
  );
  const copy = (): void => {
    const encoder = device.createCommandEncoder();
    for (const [from, to] of copied) encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
    device.queue.submit([encoder.finish()]);
  };

  const timings = await onDevice(
    adapter,
    [
      { name: "copyBufferToBuffer", enqueue: copy },
      { name: "by hand", enqueue: () => byHand.step() },
      { name: "own buffers", enqueue: () => onBuffers.step() },
      { name: "arena", enqueue: () => inArena.step() },
      { name: "own buffers, clipped and scaled", enqueue: () => carefulOnBuffers.step() },
      { name: "arena, clipped and scaled", enqueue: () => carefulInArena.step() },
    ],
    effort,
  );
  for (const optim of [onBuffers, inArena, carefulOnBuffers, carefulInArena]) optim.dispose();
  byHand.dispose();
  for (const buffer of buffers) buffer.destroy();
  return {
    title: `Adam on ${label} float32, ${adapter.name}`,
    about:
      "One step of `@mm/optim-webgpu` on gradients that are there already: on a `GPUBuffer` for each tensor, and on one arena; plain, and with clipping by norm and a dynamic loss scale. By hand is a kernel for Adam alone, a dispatch for each tensor, vec4, all scalars from the host. The copy moves the bytes that Adam moves, 28 a parameter.",
    timings,
    ratios: [
      { ...ratio(timings, "own buffers", "by hand", goal), ...inTable("own buffers, by hand") },
      { ...ratio(timings, "arena", "by hand", goal), ...inTable("arena, by hand") },
      ratio(timings, "arena", "copyBufferToBuffer"),
      ratio(timings, "own buffers, clipped and scaled", "own buffers"),
      ratio(timings, "arena, clipped and scaled", "arena"),
    ],
  };
}
