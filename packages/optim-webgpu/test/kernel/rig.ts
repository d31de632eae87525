import type { Program } from "@mm/optim-core/backend";
import {
  type KernelSource,
  header,
  headerWords,
  type ParameterAccess,
  range,
  rangeWords,
  record,
  recordWords,
  tile,
  tileElements,
  tileWords,
  updateKernel,
} from "../../src/kernel/index.ts";
import { readBytes, storageBuffer } from "../support/read.ts";

/** One kernel call: its bindings in order, and how many workgroups. */
export interface Dispatch {
  readonly source: KernelSource;
  readonly bindings: readonly GPUBuffer[];
  readonly groups: readonly [x: number, y?: number];
}

/** Runs kernels with nothing around them: what stands in `layout.ts`, and raw WebGPU. */
export class Rig {
  readonly device: GPUDevice;
  readonly #pipelines = new Map<string, GPUComputePipeline>();

  constructor(device: GPUDevice) {
    this.device = device;
  }

  pipeline({ label, code, entryPoint, bindings }: KernelSource): GPUComputePipeline {
    const known = this.#pipelines.get(code);
    if (known !== undefined) return known;
    const { device } = this;
    const entries = bindings.map((type, binding) => ({ binding, visibility: 4, buffer: { type } }));
    const layout = device.createPipelineLayout({
      bindGroupLayouts: [device.createBindGroupLayout({ label, entries })],
    });
    const module = device.createShaderModule({ label, code });
    const pipeline = device.createComputePipeline({ label, layout, compute: { module, entryPoint } });
    this.#pipelines.set(code, pipeline);
    return pipeline;
  }

  /** In one pass. */
  run(dispatches: readonly Dispatch[]): void {
    const { device } = this;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { source, bindings, groups } of dispatches) {
      const pipeline = this.pipeline(source);
      const entries = bindings.map((buffer, binding) => ({ binding, resource: { buffer } }));
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(...groups);
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  buffer(values: Float32Array | Uint32Array | Uint16Array, label?: string): GPUBuffer {
    return storageBuffer(this.device, values, label);
  }

  uniform(values: Uint32Array): GPUBuffer {
    const buffer = this.device.createBuffer({ size: values.byteLength, usage: 0x0040 | 0x0008 }); // UNIFORM | COPY_DST
    this.device.queue.writeBuffer(buffer, 0, values as Uint32Array<ArrayBuffer>);
    return buffer;
  }

  async floats(buffer: GPUBuffer): Promise<Float32Array> {
    return new Float32Array(await readBytes(this.device, { buffer }));
  }

  async words(buffer: GPUBuffer): Promise<Uint32Array> {
    return new Uint32Array(await readBytes(this.device, { buffer }));
  }
}

/** The data of a test for one parameter. */
export interface TestParameter {
  readonly param: Float32Array;
  readonly grad: Float32Array;
  readonly slots: readonly Float32Array[];
  readonly uniforms?: ArrayLike<number>;
  /** Default true. */
  readonly active?: boolean;
}

/** Where a parameter is: in elements of the planes, and of the parameter's buffer. */
interface Place {
  readonly planeStart: number;
  readonly paramStart: number;
  readonly length: number;
}

/** Parameters one after the other in planes; in the buffer of the parameters with gaps that are nobody's. */
export function placesOf(lengths: readonly number[], access: ParameterAccess): readonly Place[] {
  let [planeStart, paramStart] = [0, 0];
  return lengths.map((length, index) => {
    // vec4: as an arena. scalar: any element, with the next one's neighbour right behind. packed: an even one.
    if (access === "vec4") paramStart = planeStart;
    else if (access === "scalar") paramStart += index % 3;
    else paramStart += 2 * (index % 3) + (paramStart % 2);
    const place = { planeStart, paramStart, length };
    planeStart += 64 * Math.ceil(length / 64);
    paramStart += length;
    return place;
  });
}

export const planeLength = (places: readonly Place[]): number =>
  Math.max(64, ...places.map(({ planeStart, length }) => planeStart + 64 * Math.ceil(length / 64)));

/** A plane with these vectors in it, and zeros between them. */
export function planeOf(places: readonly Place[], vectors: readonly Float32Array[]): Float32Array {
  const plane = new Float32Array(planeLength(places));
  for (const [index, { planeStart }] of places.entries()) plane.set(vectors[index]!, planeStart);
  return plane;
}

/** The vectors of a plane. Throws where something stands between them. */
export function vectorsOf(places: readonly Place[], plane: Float32Array): Float32Array[] {
  const rest = plane.slice();
  for (const { planeStart, length } of places) rest.fill(0, planeStart, planeStart + length);
  const stray = rest.findIndex((value) => !Object.is(value, 0));
  if (stray >= 0) throw new Error(`padding at ${stray} is ${rest[stray]}`);
  return places.map(({ planeStart, length }) => plane.slice(planeStart, planeStart + length));
}

/** Header, records and tiles, as an engine writes them. `state` counts its blocks. */
export interface Table {
  readonly words: Uint32Array;
  readonly floats: Float32Array;
  readonly records: readonly number[];
  /** The uniform for all tiles. */
  readonly range: Uint32Array;
  readonly tileCount: number;
}

/**
 * @param stride words of a record
 * @param extra words after the header, for statics
 */
export function tableOf(places: readonly Place[], stride: number, extra = 0, size = tileElements): Table {
  const tiles: number[] = [];
  const firstRecord = headerWords + extra;
  const records = places.map((_, index) => firstRecord + index * stride);
  const firstTile: number[] = [];
  for (const [index, { planeStart, paramStart, length }] of places.entries()) {
    firstTile.push(tiles.length / tileWords);
    for (let start = 0; start < length; start += size) {
      const words = Array.from({ length: tileWords }, () => 0);
      words[tile.record] = records[index]!;
      words[tile.planeStart] = planeStart + start;
      words[tile.paramStart] = paramStart + start;
      words[tile.length] = Math.min(size, length - start);
      tiles.push(...words);
    }
  }
  const tilesAt = firstRecord + places.length * stride;
  const words = new Uint32Array(tilesAt + tiles.length);
  words.set(tiles, tilesAt);
  words[header.records] = firstRecord;
  words[header.recordStride] = stride;
  words[header.recordCount] = places.length;
  const tileCount = tiles.length / tileWords;
  for (const [index, at] of records.entries()) {
    words[at + record.active] = 1;
    words[at + record.live] = 1;
    words[at + record.factorRest] = 0x3f800000; // 1
    words[at + record.firstTile] = firstTile[index]!;
    words[at + record.tileCount] = (firstTile[index + 1] ?? tileCount) - firstTile[index]!;
  }
  const dispatched = new Uint32Array(rangeWords);
  dispatched[range.tiles] = tilesAt;
  dispatched[range.tileCount] = tileCount;
  return { words, floats: new Float32Array(words.buffer), records, range: dispatched, tileCount };
}

const guard = 12_345;

/** One step of a program on a device. Throws where anything was written that is not a parameter's own. */
export async function updateOnDevice(
  rig: Rig,
  program: Program,
  access: "vec4" | "scalar",
  parameters: readonly TestParameter[],
): Promise<{ readonly param: Float32Array; readonly slots: readonly Float32Array[] }[]> {
  const places = placesOf(
    parameters.map(({ param }) => param.length),
    access,
  );
  const table = tableOf(places, recordWords(program));
  for (const [index, { uniforms = [], active = true }] of parameters.entries()) {
    const at = table.records[index]!;
    table.words[at + record.live] = Number(active);
    table.floats.set(uniforms, at + record.uniforms);
  }
  let params: Float32Array;
  if (access === "vec4") {
    params = planeOf(
      places,
      parameters.map(({ param }) => param),
    );
  } else {
    params = new Float32Array(
      8 + Math.max(...places.map(({ paramStart, length }) => paramStart + length)),
    ).fill(guard);
    for (const [index, { paramStart }] of places.entries()) params.set(parameters[index]!.param, paramStart);
  }
  const paramBuffer = rig.buffer(params);
  const slots = program.slots.map((_, slot) =>
    rig.buffer(
      planeOf(
        places,
        parameters.map((parameter) => parameter.slots[slot]!),
      ),
    ),
  );
  const grad = rig.buffer(
    planeOf(
      places,
      parameters.map((parameter) => parameter.grad),
    ),
  );
  const [tableBuffer, rangeBuffer] = [rig.buffer(table.words), rig.uniform(table.range)];
  rig.run([
    {
      source: updateKernel(program, access),
      bindings: [paramBuffer, grad, ...slots, tableBuffer, rangeBuffer],
      // In two dimensions, some of them for nothing, as where one has not enough.
      groups: [3, Math.ceil(table.tileCount / 3) + 1],
    },
  ]);
  const written = await rig.floats(paramBuffer);
  let found: Float32Array[];
  if (access === "vec4") found = vectorsOf(places, written);
  else {
    found = places.map(({ paramStart, length }) => written.slice(paramStart, paramStart + length));
    for (const { paramStart, length } of places) written.fill(guard, paramStart, paramStart + length);
    if (written.some((value) => value !== guard)) throw new Error("written beside a parameter");
  }
  const foundSlots = await Promise.all(
    slots.map(async (buffer) => vectorsOf(places, await rig.floats(buffer))),
  );
  for (const buffer of [paramBuffer, grad, ...slots, tableBuffer, rangeBuffer]) buffer.destroy();
  return found.map((param, index) => ({ param, slots: foundSlots.map((vectors) => vectors[index]!) }));
}
