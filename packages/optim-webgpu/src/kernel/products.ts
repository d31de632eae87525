import { record } from "./layout.ts";
import { type Binding, kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/**
 * One Newton–Schulz step of `orthogonalize`, for all matrices of one shape at once: three products, one kernel each.
 *
 * ```
 * gram:   A = XXᵀ                to = Y
 * square: B = bA + cA·A
 * apply:  Y = aX + B·X
 * ```
 *
 * X is m × n, m ≤ n, and lies in planes of which each matrix has its part; a tall matrix is read and written by columns, and so transposed. A and B
 * of matrix z are the 2m² elements of `work` from 2m²·z on. Dispatch the tiles of the result in x and y, the matrices in z.
 */
export type ProductKind = "gram" | "square" | "apply";

/** A side of the square that a workgroup computes: 64 threads, 4 × 4 elements each. */
export const productTile = 32;

/** Words of the uniform `dims`. Coefficients are float32. */
export const dims = { m: 0, n: 1, rowStride: 2, colStride: 3, jobs: 4, a: 5, b: 6, c: 7 } as const;
export const dimsWords = 8;

/** Words of a job in the table: the word of its record, and where its matrix begins in a plane, in elements. Of a matrix that is not live nothing is computed. */
const job = { record: 0, start: 1 } as const;
export const jobWords = 2;

/** How far the loops of a product go at a time along what they sum over. */
const depth = 16;

/** Bindings: those of `bindingsOf`, in their order, then table and dims. */
export function productKernel(kind: ProductKind): KernelSource {
  const { bindings, load, store, isSymmetric, summed } = products()[kind];
  return kernel(
    kind,
    [...bindings, ["table", "read-only-storage", "array<u32>"], ["dims", "uniform", "Dims"]],
    [
      "struct Dims { m: u32, n: u32, rowStride: u32, colStride: u32, jobs: u32, a: f32, b: f32, c: f32 }",
      `var<workgroup> left: array<f32, ${depth * productTile}>;`,
      `var<workgroup> right: array<f32, ${depth * productTile}>;`,
    ],
    wgsl`
      let job = dims.jobs + ${jobWords}u * group.z;
      ${isSymmetric ? "// Of a symmetric matrix half is computed." : ""}
      if (${isSymmetric ? "group.x < group.y || " : ""}table[table[job] + ${record.live}u] == 0u) { return; }
      let start = table[job + ${job.start}u];
      let grams = 2u * dims.m * dims.m * group.z;
      let squares = grams + dims.m * dims.m;
      let top = ${productTile}u * group.y;
      let edge = ${productTile}u * group.x;
      let width = ${isSymmetric ? "dims.m" : "dims.n"};
      let summed = ${summed};
      let y = thread / 8u;
      let x = thread % 8u;
      var sums: array<vec4f, 4>;
      for (var begin = 0u; begin < summed; begin += ${depth}u) {
        for (var e = thread; e < ${depth * productTile}u; e += 64u) {
          ${load}
        }
        workgroupBarrier();
        for (var k = 0u; k < ${depth}u; k++) {
          let at = ${productTile}u * k + 4u * x;
          let factors = vec4f(right[at], right[at + 1u], right[at + 2u], right[at + 3u]);
          for (var r = 0u; r < 4u; r++) { sums[r] += left[${productTile}u * k + 4u * y + r] * factors; }
        }
        workgroupBarrier();
      }
      for (var r = 0u; r < 4u; r++) {
        let i = top + 4u * y + r;
        for (var lane = 0u; lane < 4u; lane++) {
          let j = edge + 4u * x + lane;
          if (i >= dims.m || j >= width) { continue; }
          let sum = sums[r][lane];
          ${store}
        }
      }
    `,
  );
}

/** Element (row, k) of the left operand and (k, col) of the right one, 0 beyond their ends. Threads side by side take elements side by side. */
const along = (side: "left" | "right", first: string, end: string, value: string): string => wgsl`
  {
    let k = begin + e % ${depth}u;
    let line = ${first} + e / ${depth}u;
    var value = 0f;
    if (line < ${end} && k < summed) { value = ${value}; }
    ${side}[${productTile}u * (e % ${depth}u) + e / ${depth}u] = value;
  }
`;
const across = (end: string, value: string): string => wgsl`
  {
    let k = begin + e / ${productTile}u;
    let line = edge + e % ${productTile}u;
    var value = 0f;
    if (line < ${end} && k < summed) { value = ${value}; }
    right[e] = value;
  }
`;

const from: Binding = ["before", "read-only-storage", "array<f32>"];
const element = (row: string, col: string): string =>
  `start + ${row} * dims.rowStride + ${col} * dims.colStride`;

/** Printed when they are asked for: nothing is done at import. */
const products = (): {
  readonly [K in ProductKind]: {
    readonly bindings: readonly Binding[];
    readonly load: string;
    readonly store: string;
    readonly isSymmetric: boolean;
    /** How many terms an element is the sum of. */
    readonly summed: string;
  };
} => ({
  gram: {
    bindings: [from, ["work", "storage", "array<f32>"]],
    load: `${along("left", "top", "dims.m", `before[${element("line", "k")}]`)}
${along("right", "edge", "dims.m", `before[${element("line", "k")}]`)}`,
    store: `work[grams + i * dims.m + j] = sum;
if (group.x != group.y) { work[grams + j * dims.m + i] = sum; }`,
    isSymmetric: true,
    summed: "dims.n",
  },
  square: {
    bindings: [["work", "storage", "array<f32>"]],
    load: `${along("left", "top", "dims.m", "work[grams + line * dims.m + k]")}
${along("right", "edge", "dims.m", "work[grams + line * dims.m + k]")}`,
    store: `let both = dims.b * work[grams + i * dims.m + j] + dims.c * sum;
work[squares + i * dims.m + j] = both;
if (group.x != group.y) { work[squares + j * dims.m + i] = both; }`,
    isSymmetric: true,
    summed: "dims.m",
  },
  apply: {
    bindings: [from, ["work", "read-only-storage", "array<f32>"], ["after", "storage", "array<f32>"]],
    load: `${along("left", "top", "dims.m", "work[squares + line * dims.m + k]")}
${across("dims.n", `before[${element("k", "line")}]`)}`,
    store: `after[${element("i", "j")}] = dims.a * before[${element("i", "j")}] + sum;`,
    isSymmetric: false,
    summed: "dims.m",
  },
});
