import type { Device } from "./device.ts";
import {
  header,
  headerWords,
  pair,
  range,
  rangeWords,
  tile,
  tileElements,
  tileWords,
} from "./kernel/index.ts";
import { bindingAlignment, bufferUsage } from "./usage.ts";

/** A parameter's part in a dispatch. Starts and length in elements. */
export interface TableMember {
  readonly planeStart: number;
  readonly paramStart: number;
  readonly length: number;
}

/** Consecutive tiles: what one dispatch is for. */
export interface TileRun {
  readonly first: number;
  readonly count: number;
  /** What `kernel/layout.ts` has as the range's third word. */
  readonly number: number;
}

/** What kernels read beside vectors: the host's copy, and the device's, which is brought up to date before a submission. */
export class Table {
  readonly buffer: GPUBuffer;
  readonly words: Uint32Array;
  readonly floats: Float32Array;
  /** Word of the first record. */
  readonly records: number;
  readonly stride: number;
  /** By member. */
  readonly runs: readonly TileRun[];
  readonly tileCount: number;
  readonly #device: Device;
  #ranges: GPUBuffer | undefined;
  /** Words from `low` on, before `high`, differ on the device. */
  #low = 0;
  #high: number;

  /**
   * @param statics words between the header and the records
   * @param stride words of a record
   * @param members one for each record
   */
  constructor(
    device: Device,
    label: string,
    statics: number,
    stride: number,
    members: readonly TableMember[],
  ) {
    this.#device = device;
    this.stride = stride;
    this.records = headerWords + statics;
    const tiles = this.records + stride * members.length;
    let count = 0;
    this.runs = members.map(({ length }) => {
      const run = { first: count, count: Math.ceil(length / tileElements), number: count };
      count += run.count;
      return run;
    });
    this.tileCount = count;
    this.words = new Uint32Array(tiles + tileWords * count);
    this.floats = new Float32Array(this.words.buffer);
    this.#high = this.words.length;
    this.words[header.records] = this.records;
    this.words[header.recordStride] = stride;
    this.words[header.recordCount] = members.length;
    for (const [index, { planeStart, paramStart, length }] of members.entries()) {
      const { first } = this.runs[index] as TileRun;
      for (
        let start = 0, at = tiles + tileWords * first;
        start < length;
        start += tileElements, at += tileWords
      ) {
        this.words[at + tile.record] = this.recordAt(index);
        this.words[at + tile.planeStart] = planeStart + start;
        this.words[at + tile.paramStart] = paramStart + start;
        this.words[at + tile.length] = Math.min(tileElements, length - start);
      }
    }
    this.buffer = device.createBuffer(`${label} table`, this.words.byteLength);
  }

  recordAt(index: number): number {
    return this.records + this.stride * index;
  }

  /** Bindings of the uniform `range`, one for each run. */
  bindRuns(label: string, runs: readonly TileRun[]): GPUBufferBinding[] {
    const tiles = this.recordAt(this.words[header.recordCount] as number);
    const unit = bindingAlignment / 4;
    const words = new Uint32Array(unit * Math.max(1, runs.length));
    for (const [index, { first, count, number }] of runs.entries()) {
      words[unit * index + range.tiles] = tiles + tileWords * first;
      words[unit * index + range.tileCount] = count;
      words[unit * index + range.first] = number;
    }
    const usage = bufferUsage.uniform | bufferUsage.copyTarget;
    const buffer = this.#device.createBuffer(`${label} ranges`, words.byteLength, usage);
    this.#device.gpu.queue.writeBuffer(buffer, 0, words);
    this.#ranges = buffer;
    return runs.map((_, index) => ({ buffer, offset: bindingAlignment * index, size: 4 * rangeWords }));
  }

  setWord(at: number, value: number): void {
    if (this.words[at] === value >>> 0) return;
    this.words[at] = value;
    this.changed(at, 1);
  }

  setFloat(at: number, value: number): void {
    if (Object.is(this.floats[at], Math.fround(value))) return;
    this.floats[at] = value;
    this.changed(at, 1);
  }

  setPair(at: number, value: number): void {
    const [high, low] = pair(value);
    this.setFloat(at, high);
    this.setFloat(at + 1, low);
  }

  /** Marks words that were written, or that kernels have overwritten. */
  changed(at: number, count: number): void {
    this.#low = Math.min(this.#low, at);
    this.#high = Math.max(this.#high, at + count);
  }

  /** Brings the device's copy up to date, with one write at most. Nothing that is held back may read it. */
  upload(): void {
    if (this.#low >= this.#high) return;
    const { buffer } = this.words;
    const [offset, size] = [4 * this.#low, 4 * (this.#high - this.#low)];
    this.#device.gpu.queue.writeBuffer(this.buffer, offset, buffer, offset, size);
    this.#low = this.words.length;
    this.#high = 0;
  }

  destroy(): void {
    this.buffer.destroy();
    this.#ranges?.destroy();
  }
}

/** One run of runs that follow each other. */
export function joined(runs: readonly TileRun[]): TileRun {
  const { first, number } = runs[0] as TileRun;
  return { first, number, count: runs.reduce((sum, { count }) => sum + count, 0) };
}

const mostGroups = 65_535;

/** A workgroup for each of `count`, in two dimensions where one has not so many. */
export function dispatch(pass: GPUComputePassEncoder, count: number): void {
  if (count > mostGroups) pass.dispatchWorkgroups(mostGroups, Math.ceil(count / mostGroups));
  else pass.dispatchWorkgroups(count);
}
