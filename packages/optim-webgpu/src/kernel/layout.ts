/**
 * The layout of the buffers that kernels share, in words of 4 bytes. Words hold u32, or float32 by their bits; a *pair* is two
 * float32 whose sum is the number.
 *
 * - `table`: header, code of programs, statics, records, tiles. Written by the host, and in records by `prepare`.
 * - `state`: globals, then one block per parameter. Written by `prepare`; by the host at a load.
 * - `scaler`: the two states of a loss scaler. `seed`: one float32.
 * - `partials`: what `check` found. `normPartials`: what a pass found that reduces per tensor.
 */

/** A workgroup has this many threads in every kernel. */
export const workgroupSize = 64;

/** Elements of a tile, at most: what one workgroup updates. Tiles of a parameter start at multiples of this. */
export const tileElements = 4096;

/** `check` runs on this many workgroups at most per chunk. */
export const checkGroups = 128;

/** Words at the start of the table. */
export const header = {
  /** Word of the first record, words from one record to the next, number of records. */
  records: 0,
  recordStride: 1,
  recordCount: 2,
  /** Partials that the check of this step writes; 0 without one. */
  partialCount: 3,
  /** A {@link NormKind}, and for `power` p as a float32. */
  normKind: 4,
  power: 5,
  /** 1 where a step whose gradients are not finite is skipped, and where it counts as failed as well. */
  skips: 6,
  fails: 7,
  /** rescale, as a pair whose first has a size in [1, 2), × 2^`rescaleExponent` (i32). */
  rescale: 8,
  rescaleExponent: 26,
  /** 1 where the norm is clipped to `maxNorm` × 2^`maxNormExponent` (i32), the first in [1, 2), or 0, or infinite. */
  clips: 10,
  maxNorm: 11,
  maxNormExponent: 27,
  clipValue: 12,
  /** 0: no loss scaler, 1: a static one, 2: a dynamic one. */
  scaler: 13,
  /** Which of the scaler's two states is the current one. */
  scalerCurrent: 14,
  growthInterval: 15,
  /** Pairs. */
  growthFactor: 16,
  backoffFactor: 18,
  minScale: 20,
  /** Which of the two latched scales is this window's. The other is written ahead for the next window. */
  latched: 21,
  /** For the seed kernel: 1 where the window begins, and the current scale is latched. */
  latches: 22,
  /** The host's factor of the loss, apart from the loss scale: seed = this × latched. */
  seedScale: 23,
  /** Partials of a tile in `normPartials`: as many as the program with most reductions has. */
  normStride: 24,
  /** Always 0. Kernels rely on it. */
  zero: 25,
  /** 1 where programs run without a step: `prepare` computes their uniforms, and counts and reports nothing. */
  runs: 28,
} as const;
export const headerWords = 32;

/** The measures of the gradients. */
export const normKinds = { none: 0, 1: 1, 2: 2, power: 3, inf: 4 } as const;
export type NormKind = keyof typeof normKinds;

/** Words of a record: one per parameter. Uniforms follow in the order of `Program.uniforms`, then what `along.ts` has. */
export const record = {
  /** 1 where the parameter takes part in the step. */
  active: 0,
  /** The effect of `accumulate` on the parameter's incoming gradient: 0 nothing, 1 add it, 2 overwrite with it. */
  adds: 1,
  /** 0: the host has written the uniforms. Else `prepare` computes them by the code at this word of the table. */
  code: 2,
  /** Word of the table where the statics of its program and group are. Read where there is code. */
  statics: 3,
  /** Word of its block in `state`. Read where there is code. */
  state: 4,
  /** Its tiles: number of the first, counted over the whole table, and how many. */
  firstTile: 5,
  tileCount: 6,
  /** 1 where `update` is to touch it. `prepare` writes it; without `prepare` the host does, as `active`. */
  live: 7,
  /**
   * Gradients are multiplied by this after uniform 0, the factor: 1; or a power of two where the factor by itself would be infinite, or a
   * subnormal number, which devices may take for 0. Uniform 0 is then as near to the end of float32 as it can be, so that what comes
   * between the two multiplications is in its range wherever the result is.
   */
  factorRest: 8,
  uniforms: 9,
} as const;

/**
 * Words of a tile: the word of its record, its first element in the plane chunk and in the parameter's binding, its length. The second
 * is a multiple of 64 and, where access is vec4, the third of 4.
 */
export const tile = { record: 0, planeStart: 1, paramStart: 2, length: 3 } as const;
export const tileWords = 4;

/** The uniform `range` of a dispatch: which tiles it is for. Static. */
export const range = {
  /** Word of the table where its first tile is. */
  tiles: 0,
  tileCount: 1,
  /** `check`: number of its first partial. `reduce`: number of its first tile. `prepare norms`: which of the step's it is, from 1. */
  first: 2,
} as const;
export const rangeWords = 4;

/** Words at the start of `state`. */
export const globals = {
  /** The norm of the last step that measured one, unscaled, before clipping: a float32 × 2^i32, since it may be beyond float32. */
  norm: 0,
  normExponent: 1,
  /** 1 where the last step that was checked was finite. */
  finite: 2,
  /** Steps that were applied, skipped, and of the latter those that count as failed. */
  steps: 3,
  skipped: 4,
  failed: 5,
  /** Loss scales of the window and of the next one; which is which, the header says. */
  latched: 6,
} as const;
export const globalsWords = 8;

/** Words of a parameter's block in `state`: the step count (u32), then a pair for each scalar slot. */
export const stateBlock = { step: 0, scalarSlots: 2 } as const;

/** Words of a block for a rule with these scalar slots. */
export function stateBlockWords(scalarSlots: number): number {
  return stateBlock.scalarSlots + 2 * scalarSlots;
}

/** Words of one of the two states of a loss scaler. */
export const scalerState = {
  scale: 0,
  /** u32 */
  growthTracker: 1,
  /** 1 where a step since the last update found gradients that are not finite. */
  found: 2,
} as const;
export const scalerStateWords = 4;

/** Words of a partial. */
export const partialWords = 4;

/** A float64 as a pair of float32: the nearest, and the nearest to the rest. 48 bits. */
export function pair(value: number): readonly [high: number, low: number] {
  const high = Math.fround(value);
  return [high, Number.isFinite(high) ? Math.fround(value - high) : 0];
}
