import { type Extents, type Program, scratchLengths } from "@mm/optim-core/backend";
import { panelWidth } from "./emit-matrix.ts";
import type { Vector } from "./vector.ts";

/** Vectors begin at multiples of a vector register. */
const alignment = 16;

/**
 * Room in a memory for what the passes of a program hand on to each other, and for what kernels need while they run: as much as the program and the
 * tensor with most of it need, shared by all.
 */
export class Workspace {
  readonly #room: (bytes: number) => number;
  /** Bytes of what kernels need, which comes first, and of vectors. */
  #own = 0;
  #vectors = 0;

  /** @param room the address of room for so many bytes; what was there before is void */
  constructor(room: (bytes: number) => number) {
    this.#room = room;
  }

  /** Where kernels may write. */
  get address(): number {
    return this.#room(this.#own + this.#vectors);
  }

  reserve(program: Program, extents: Extents): void {
    const own = Math.max(this.#own, kernelBytes(program, extents));
    const vectors = Math.max(this.#vectors, sum(scratchLengths(program, extents).map(sizeOf)));
    if (own + vectors > 0) this.#room(own + vectors);
    [this.#own, this.#vectors] = [own, vectors];
  }

  vectors(program: Program, extents: Extents): Vector[] {
    let pointer = this.address + this.#own;
    return scratchLengths(program, extents).map((length) => {
      const vector = { pointer, length };
      pointer += sizeOf(length);
      return vector;
    });
  }
}

/** The room that its kernels need to run a program on a tensor: a float64 for each sum of a column, and what `orthogonalize` computes with. */
function kernelBytes({ passes, reductions, matrices }: Program, extents: Extents): number {
  const columns = passes.map((pass) =>
    pass.kind === "reduce"
      ? pass.reductions.filter((index) => reductions[index]?.per === "column").length
      : 0,
  );
  const sums = 8 * extents.cols * Math.max(0, ...columns);
  return aligned(Math.max(sums, matrices.length > 0 ? matrixLayout(extents).end : 0));
}

/** Where `orthogonalize` has what, in bytes from where it begins: x and the next x, A and B, and a packed panel. */
export function matrixLayout({ rows, cols }: Extents): {
  readonly m: number;
  readonly n: number;
  /** Padded. */
  readonly height: number;
  readonly width: number;
  readonly next: number;
  readonly gram: number;
  readonly both: number;
  readonly panel: number;
  readonly end: number;
} {
  const [m, n] = rows <= cols ? [rows, cols] : [cols, rows];
  const [height, width] = [padded(m), padded(n)];
  const next = 4 * height * width;
  const gram = 2 * next;
  const both = gram + 4 * height * height;
  const panel = both + 4 * height * height;
  return { m, n, height, width, next, gram, both, panel, end: panel + 4 * panelWidth * width };
}

const padded = (side: number): number => Math.ceil(side / panelWidth) * panelWidth;
const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
const sizeOf = (length: number): number => aligned(4 * length);
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
