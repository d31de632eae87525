import { header, headerWords, tile, tileElements, tileWords } from "./kernel/index.ts";

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
  /** The range's third word of `kernel/layout.ts`. */
  readonly number: number;
}

/** A table's words with header and tiles, and where its records are. */
export interface TableLayout {
  readonly words: Uint32Array;
  /** Word of the first record. */
  readonly records: number;
  /** Words of a record. */
  readonly stride: number;
  /** Word of the first tile. */
  readonly tiles: number;
  /** By member. */
  readonly runs: readonly TileRun[];
  readonly tileCount: number;
}

/**
 * @param statics words between the header and the records
 * @param stride words of a record
 * @param members one for each record
 */
export function layOutTable(statics: number, stride: number, members: readonly TableMember[]): TableLayout {
  const records = headerWords + statics;
  const tiles = records + stride * members.length;
  let tileCount = 0;
  const runs = members.map(({ length }) => {
    const run = { first: tileCount, count: Math.ceil(length / tileElements), number: tileCount };
    tileCount += run.count;
    return run;
  });
  const words = new Uint32Array(tiles + tileWords * tileCount);
  words[header.records] = records;
  words[header.recordStride] = stride;
  words[header.recordCount] = members.length;
  for (const [index, { planeStart, paramStart, length }] of members.entries()) {
    let at = tiles + tileWords * (runs[index] as TileRun).first;
    for (let start = 0; start < length; start += tileElements, at += tileWords) {
      words[at + tile.record] = records + stride * index;
      words[at + tile.planeStart] = planeStart + start;
      words[at + tile.paramStart] = paramStart + start;
      words[at + tile.length] = Math.min(tileElements, length - start);
    }
  }
  return { words, records, stride, tiles, runs, tileCount };
}

/** One run of runs that follow each other. */
export function joined(runs: readonly TileRun[]): TileRun {
  const { first, number } = runs[0] as TileRun;
  return { first, number, count: runs.reduce((sum, { count }) => sum + count, 0) };
}
