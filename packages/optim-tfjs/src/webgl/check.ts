import type { Canvas } from "./canvas.ts";
import type { Linked } from "./surface.ts";
import { blocksOf, rowsAndColumns, type Source, type Target } from "./layout.ts";

/** Texels in a row of partial results: each adds up every 64th texel of a tensor, times the rows that the tensor has. */
export const lanesInRow = 64;
const mostRows = 16;
const texelsInRow = 4096;

/** An accumulator that is measured. */
export interface Measured {
  readonly source: Source;
  readonly shape: readonly number[];
  readonly size: number;
}

/** Rows of partial results for each accumulator, no more than fit into a texture. */
function partialRows(measured: readonly Measured[], maxTextureSize: number): readonly number[] {
  const most = Math.max(1, Math.min(mostRows, Math.floor(maxTextureSize / measured.length)));
  return measured.map((one) => Math.min(most, Math.max(1, Math.ceil(texelsOf(one) / texelsInRow))));
}

const texelsOf = ({ source, shape, size }: Measured): number =>
  source.layout === "flat" ? Math.ceil(size / 4) : blocksOf(shape, size);

/**
 * The partial results of one accumulator: the largest bits of |g|, which tell whether all are finite, and sums of squares of large,
 * medium and tiny elements apart, so that none overflows or vanishes (Blue, "A portable Fortran program to find the Euclidean norm of
 * a vector", 1978). The padding of a packed texture may hold anything, and is left out.
 */
const partialSource = (layout: Source["layout"]): string => `uniform ivec3 shape;
uniform ivec4 range;
uniform bool finiteOnly;
uniform ${layout === "plane" ? "planeSampler" : "sampler2D"} grad;
layout(location = 0) out planeTexel out0;
vec4 block(int t, ivec2 texels) {
${
  layout === "flat"
    ? `  vec4 v = vec4(0.0);
  for (int k = 0; k < 4; k += 1) {
    int i = 4 * t + k;
    if (i < range.w) v[k] = texelFetch(grad, ivec2(i % texels.x, i / texels.x), 0).r;
  }
  return v;`
    : `  ivec2 at = ivec2(t % texels.x, t / texels.x);
  vec4 v = ${layout === "plane" ? "fetchPlane(grad, at)" : "texelFetch(grad, at, 0)"};
  int blocksInRow = (shape.y + 1) / 2;
  int rest = t % (blocksInRow * ((shape.x + 1) / 2));
  bool right = rest % blocksInRow * 2 + 1 < shape.y;
  bool below = rest / blocksInRow * 2 + 1 < shape.x;
  return vec4(v.x, right ? v.y : 0.0, below ? v.z : 0.0, right && below ? v.w : 0.0);`
}
}
void main() {
  int lane = int(gl_FragCoord.x) + (int(gl_FragCoord.y) - range.x) * ${lanesInRow};
  ivec2 texels = textureSize(grad, 0);
  uint top = 0u;
  vec3 sum = vec3(0.0);
  for (int i = lane; i < range.z; i += range.y) {
    uvec4 bits = floatBitsToUint(block(i, texels)) & 0x7fffffffu;
    if (finiteOnly) bits *= uvec4(lessThan(bits, uvec4(0x7f800000u)));
    vec4 a = uintBitsToFloat(bits);
    uvec2 two = max(bits.xy, bits.zw);
    top = max(top, max(two.x, two.y));
    bvec4 isBig = greaterThan(a, vec4(1e15));
    bvec4 isTiny = lessThan(a, vec4(1e-15));
    vec4 big = mix(vec4(0.0), a * 5.421010862427522e-20, isBig);
    vec4 tiny = mix(vec4(0.0), a * 1.8446744073709552e19, isTiny);
    vec4 medium = mix(mix(a, vec4(0.0), isBig), vec4(0.0), isTiny);
    sum += vec3(dot(big, big), dot(medium, medium), dot(tiny, tiny));
  }
  out0 = toPlane(vec4(uintBitsToFloat(top), sum));
}`;

const foldSource = `uniform int rows;
uniform planeSampler partial;
layout(location = 0) out planeTexel out0;
void main() {
  uint top = 0u;
  vec3 sum = vec3(0.0);
  for (int y = 0; y < rows; y += 1) {
    vec4 a = fetchPlane(partial, ivec2(int(gl_FragCoord.x), y));
    top = max(top, floatBitsToUint(a.x));
    sum += a.yzw;
  }
  out0 = toPlane(vec4(uintBitsToFloat(top), sum));
}`;

export interface CheckPrograms {
  /** By the layout of an accumulator. */
  readonly partial: ReadonlyMap<Source["layout"], Linked>;
  readonly fold: Linked;
}

/** Links what accumulators of these layouts need. */
export function checkPrograms(canvas: Canvas, layouts: Iterable<Source["layout"]>): CheckPrograms {
  const partial = new Map<Source["layout"], Linked>();
  for (const layout of layouts) partial.set(layout, canvas.link(partialSource(layout), ["grad"]));
  return { partial, fold: canvas.link(foldSource, ["partial"]) };
}

/** Measures all accumulators: a draw each, and one that folds the rows. The result is a row of lanes, to free. */
export function measure(
  canvas: Canvas,
  { partial, fold }: CheckPrograms,
  measured: readonly Measured[],
  finiteOnly: boolean,
): Target {
  const { store } = canvas;
  const rows = partialRows(measured, canvas.maxTextureSize);
  const total = rows.reduce((sum, count) => sum + count, 0);
  const sums = store.make([2 * total, 2 * lanesInRow]);
  let y = 0;
  for (const [index, one] of measured.entries()) {
    const { source, shape, size } = one;
    const height = rows[index] as number;
    const first = y;
    canvas.draw({
      linked: partial.get(source.layout) as Linked,
      inputs: [source],
      outputs: [sums],
      region: { y, width: lanesInRow, height },
      set(gl, { location }) {
        const [blockRows, blockColumns] = rowsAndColumns(shape);
        gl.uniform3i(location("shape"), blockRows, blockColumns, 0);
        gl.uniform4i(location("range"), first, lanesInRow * height, texelsOf(one), size);
        gl.uniform1i(location("finiteOnly"), finiteOnly ? 1 : 0);
      },
    });
    y += height;
  }
  const folded = store.make([2, 2 * lanesInRow]);
  canvas.draw({
    linked: fold,
    inputs: [sums],
    outputs: [folded],
    set: (gl, { location }) => gl.uniform1i(location("rows"), total),
  });
  store.free(sums);
  return folded;
}
