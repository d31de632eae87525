import type { Device } from "./device.ts";
import { largestBinding } from "./limits.ts";
import { bindingAlignment } from "./usage.ts";

/** A range that shaders bind, in bytes; a `GPUBufferBinding` with nothing left out. */
export interface WebgpuBinding {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

/** How elements of parameters are stored. */
export type DType = "float32" | "float16";

export const bytesPerElement = { float32: 4, float16: 2 } as const;

/** Of planes: slots alone are kept in bfloat16. */
export const bytesInPlane = { float32: 4, float16: 2, bfloat16: 2 } as const;

/** Where a parameter lies in every plane, in elements. */
export interface Place {
  readonly chunk: number;
  readonly start: number;
  readonly length: number;
  /** From one start to the next. Elements beyond `length` stay zero. */
  readonly room: number;
}

/**
 * Lays vectors out one after the other, in chunks of at most `most` bytes; each begins where a binding may begin, in planes of either
 * element size if there are any of float16.
 *
 * @param firstChunk number of the first chunk
 */
export function layOut(
  vectors: readonly { readonly length: number; readonly dtype: DType }[],
  bytes: number,
  most: number,
  firstChunk = 0,
): Place[] {
  let chunk = firstChunk;
  let end = 0;
  return vectors.map(({ length, dtype }) => {
    const unit = bindingAlignment / bytesPerElement[dtype];
    const room = Math.max(1, Math.ceil(length / unit)) * unit;
    let start = Math.ceil(end / unit) * unit;
    if (start > 0 && (start + room) * bytes > most) {
      chunk += 1;
      start = 0;
    }
    end = start + room;
    return { chunk, start, length, room };
  });
}

/** The elements that each chunk needs. */
export function chunkLengths(places: readonly Place[]): Map<number, number> {
  const lengths = new Map<number, number>();
  for (const { chunk, start, room } of places)
    lengths.set(chunk, Math.max(lengths.get(chunk) ?? 0, start + room));
  return lengths;
}

/** How the elements of a plane are stored. */
type PlaneDtype = keyof typeof bytesInPlane;

/** One buffer of a plane. */
interface Chunk {
  readonly buffer: GPUBuffer;
  /** Starts of the vectors in it, and of those that were. */
  readonly taken: Set<number>;
  readonly soiled: Set<number>;
}

/** A vector of an optimizer's own: a parameter's range of a plane. */
export interface Vector {
  readonly name: string;
  readonly place: Place;
  readonly plane: Plane;
  readonly buffer: GPUBuffer;
  /** The same object as long as the vector lives. */
  readonly binding: WebgpuBinding;
  /** Bytes from its start to the next one's, or less: what belongs to it. */
  readonly room: number;
}

/** Buffers with room for one vector of each parameter, all at the same places in each plane. They are made when they are needed. */
export class Plane {
  readonly dtype: PlaneDtype;
  readonly #label: string;
  readonly #planes: Planes;
  readonly #chunks = new Map<number, Chunk>();

  constructor(label: string, planes: Planes, dtype: PlaneDtype = "float32") {
    this.#label = label;
    this.#planes = planes;
    this.dtype = dtype;
  }

  isFree({ chunk, start }: Place): boolean {
    return this.#chunks.get(chunk)?.taken.has(start) !== true;
  }

  /** A vector, of which nothing is known but that its padding is zero. @param length in float32, of one that is less than its place */
  take(name: string, length?: number): Vector {
    const whole = this.#planes.placeOf(name);
    const place = length === undefined ? whole : { ...whole, length };
    const bytes = bytesInPlane[this.dtype];
    let chunk = this.#chunks.get(place.chunk);
    if (chunk === undefined) {
      const size = bytes * this.#planes.chunkLength(place.chunk);
      const buffer = this.#planes.device.createBuffer(`${this.#label} ${place.chunk}`, size);
      this.#chunks.set(place.chunk, (chunk = { buffer, taken: new Set(), soiled: new Set() }));
    }
    chunk.taken.add(place.start);
    const { buffer } = chunk;
    // Bindings are not empty, and multiples of 4 bytes.
    const held = length === undefined ? Math.ceil((bytes * place.length) / 4) : length;
    const binding = Object.freeze({ buffer, offset: bytes * place.start, size: Math.max(4, 4 * held) });
    return { name, place, plane: this, buffer, binding, room: bytes * place.room };
  }

  /** Whether the vector's range was used before it. From now on it was. */
  soil({ place }: Vector): boolean {
    const { soiled } = this.#chunks.get(place.chunk) as Chunk;
    const was = soiled.has(place.start);
    soiled.add(place.start);
    return was;
  }

  /** A buffer without vectors is freed. */
  release({ place }: Vector): void {
    const chunk = this.#chunks.get(place.chunk) as Chunk;
    chunk.taken.delete(place.start);
    if (chunk.taken.size > 0) return;
    chunk.buffer.destroy();
    this.#chunks.delete(place.chunk);
  }

  dispose(): void {
    for (const { buffer } of this.#chunks.values()) buffer.destroy();
    this.#chunks.clear();
  }
}

/** The vectors of one optimizer. */
export class Planes {
  readonly device: Device;
  readonly #label: string;
  readonly #places = new Map<string, Place>();
  readonly #chunkLengths = new Map<number, number>();
  readonly #dtype: PlaneDtype;
  readonly #planes: Plane[] = [];

  constructor(device: Device, label = "plane", dtype: PlaneDtype = "float32") {
    this.device = device;
    this.#label = label;
    this.#dtype = dtype;
  }

  /** Makes places for parameters. Those that come later get chunks of their own. */
  reserve(
    parameters: readonly { readonly name: string; readonly length: number; readonly dtype: DType }[],
  ): void {
    const places = layOut(parameters, 4, largestBinding(this.device.gpu.limits), this.#chunkLengths.size);
    for (const [index, { name }] of parameters.entries()) this.#places.set(name, places[index] as Place);
    for (const [chunk, length] of chunkLengths(places)) this.#chunkLengths.set(chunk, length);
  }

  placeOf(name: string): Place {
    return this.#places.get(name) as Place;
  }

  chunkLength(chunk: number): number {
    return this.#chunkLengths.get(chunk) as number;
  }

  /** A vector filled with a value, in the first plane that has its place free. */
  allocate(name: string, initial: number, length?: number): Vector {
    const place = this.placeOf(name);
    let plane = this.#planes.find((candidate) => candidate.isFree(place));
    if (plane === undefined) {
      plane = new Plane(`${this.#label} ${this.#planes.length}`, this, this.#dtype);
      this.#planes.push(plane);
    }
    const vector = plane.take(name, length);
    const soiled = plane.soil(vector);
    if (initial !== 0) this.write(vector, new Float32Array(vector.place.length).fill(initial));
    else if (soiled) this.#clear(vector);
    return vector;
  }

  release(vector: Vector): void {
    // The commands that read it are under way before its buffer goes.
    this.device.settle();
    vector.plane.release(vector);
  }

  write({ buffer, binding }: Vector, data: Float32Array): void {
    if (data.length > 0) this.device.write(buffer, binding.offset, data);
  }

  dispose(): void {
    for (const plane of this.#planes) plane.dispose();
  }

  #clear({ buffer, binding }: Vector): void {
    const encoder = this.device.createEncoder("clear");
    encoder.clearBuffer(buffer, binding.offset, binding.size);
    this.device.submit([encoder.finish()]);
  }
}
