import type { Device } from "./device.ts";
import { pair, range, rangeWords, tileWords } from "./kernel/index.ts";
import type { TableLayout, TileRun } from "./table-layout.ts";
import { bindingAlignment, bufferUsage } from "./usage.ts";

/** The data that kernels read beside vectors: the host's copy, and the device's, which is brought up to date before a submission. */
export class Table {
  readonly buffer: GPUBuffer;
  readonly words: Uint32Array;
  readonly floats: Float32Array;
  readonly layout: TableLayout;
  readonly #device: Device;
  #ranges: GPUBuffer | undefined;
  /** Words from `low` on, before `high`, differ on the device. */
  #low = 0;
  #high: number;

  constructor(device: Device, label: string, layout: TableLayout) {
    this.#device = device;
    this.layout = layout;
    this.words = layout.words;
    this.floats = new Float32Array(this.words.buffer);
    this.#high = this.words.length;
    this.buffer = device.createBuffer(`${label} table`, this.words.byteLength);
  }

  recordAt(index: number): number {
    return this.layout.records + this.layout.stride * index;
  }

  /** Bindings of the uniform `range`, one for each run. */
  bindRuns(label: string, runs: readonly TileRun[]): GPUBufferBinding[] {
    const { tiles } = this.layout;
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

const mostGroups = 65_535;

/** A workgroup for each of `count`, in two dimensions where one has not so many. */
export function dispatch(pass: GPUComputePassEncoder, count: number): void {
  if (count > mostGroups) pass.dispatchWorkgroups(mostGroups, Math.ceil(count / mostGroups));
  else pass.dispatchWorkgroups(count);
}
