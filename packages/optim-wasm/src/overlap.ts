import { refuse } from "@mm/optim-core/backend";

interface Range {
  readonly name: string;
  readonly buffer: ArrayBufferLike;
  readonly start: number;
  readonly end: number;
}

/**
 * Refuses arrays that share a part of their elements, which a step would update twice. Ranges of one buffer that are the same are left to
 * core, which knows where they were written.
 *
 * @throws OptimError `duplicate-parameter`
 */
export function requireApart(
  arrays: readonly (readonly [name: string, value: unknown])[],
  who: string,
): void {
  const ranges = arrays
    .flatMap(([name, value]) => (ArrayBuffer.isView(value) && value.byteLength > 0 ? [{ name, value }] : []))
    .map(({ name, value: { buffer, byteOffset, byteLength } }): Range => {
      return { name, buffer, start: byteOffset, end: byteOffset + byteLength };
    })
    .sort((a, b) => a.start - b.start);
  requireApartInBuffers(ranges, who);
  requireApartInMemories(
    ranges.filter(({ buffer }) => isShared(buffer)),
    who,
  );
}

function requireApartInBuffers(ranges: readonly Range[], who: string): void {
  const reached = new Map<ArrayBufferLike, Range>();
  for (const range of ranges) {
    const before = reached.get(range.buffer);
    const same = before !== undefined && range.start === before.start && range.end === before.end;
    if (before !== undefined && range.start < before.end && !same) refuseOverlap(range, before, who);
    if (before === undefined || range.end > before.end) reached.set(range.buffer, range);
  }
}

/** Several SharedArrayBuffers may be one memory: of a WebAssembly memory that has grown, or received from another thread. */
function requireApartInMemories(ranges: readonly Range[], who: string): void {
  if (new Set(ranges.map(({ buffer }) => buffer)).size < 2) return;
  const apart = new Map<ArrayBufferLike, Set<ArrayBufferLike>>();
  for (const [index, range] of ranges.entries()) {
    // Those that begin before the end of this one, and at its start or later.
    for (const other of ranges.slice(index + 1)) {
      if (other.start >= range.end) break;
      if (other.buffer === range.buffer || apart.get(range.buffer)?.has(other.buffer)) continue;
      if (isSameMemory(range.buffer, other.buffer, other.start)) refuseOverlap(other, range, who);
      for (const [a, b] of [
        [range.buffer, other.buffer],
        [other.buffer, range.buffer],
      ] as const)
        apart.set(a, (apart.get(a) ?? new Set()).add(b));
    }
  }
}

/**
 * Whether a change of one is seen in the other: the lowest bit of four bytes is turned and turned back, by atomic operations that no write of
 * another thread is lost by. Where the bytes differ nothing is turned.
 */
function isSameMemory(a: ArrayBufferLike, b: ArrayBufferLike, offset: number): boolean {
  const [mine, theirs] = [new Int32Array(a, offset, 1), new Int32Array(b, offset, 1)];
  const value = Atomics.load(mine, 0);
  if (Atomics.load(theirs, 0) !== value) return false;
  if (Atomics.compareExchange(mine, 0, value, value ^ 1) !== value) return false;
  const seen = Atomics.load(theirs, 0) === (value ^ 1);
  Atomics.compareExchange(mine, 0, value ^ 1, value);
  return seen;
}

const isShared = (buffer: ArrayBufferLike): boolean =>
  Object.prototype.toString.call(buffer) === "[object SharedArrayBuffer]";

function refuseOverlap({ name }: Range, before: Range, who: string): never {
  return refuse(
    "duplicate-parameter",
    `${who}: parameter ${JSON.stringify(name)}`,
    `no element that is in ${JSON.stringify(before.name)} too`,
    name,
    { hint: "Give views of one memory that do not overlap" },
  );
}
