import type { DType } from "./storage.ts";

/** A range of an arena: what an optimizer has to know of it beyond its binding. */
export interface ArenaRange {
  readonly length: number;
  readonly dtype: DType;
  /** Of its binding, in bytes. */
  readonly size: number;
}

/** Ranges of arenas by their offsets, by buffer. */
const arenas = /* @__PURE__ */ new WeakMap<GPUBuffer, ReadonlyMap<number, ArenaRange>>();

/** Makes the ranges of a buffer known as an arena's. */
export function registerArena(buffer: GPUBuffer, ranges: ReadonlyMap<number, ArenaRange>): void {
  arenas.set(buffer, ranges);
}

export function arenaRangeAt(buffer: GPUBuffer, offset: number): ArenaRange | undefined {
  return arenas.get(buffer)?.get(offset);
}
