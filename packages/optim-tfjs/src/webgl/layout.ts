/**
 * A packed texture holds 2 × 2 elements of the last two dimensions a texel; texel t, counted along rows, is block t of [batch, rows,
 * columns]. Its own width may be any. A flat one holds one element a texel, in the order of the data. A plane is packed, as wide as the output, and
 * may hold bits instead of floats: see `Store`.
 */
export type Layout = "same" | "packed" | "flat" | "plane";

/** A texture that a draw reads. */
export interface Source {
  readonly texture: WebGLTexture;
  readonly layout: "packed" | "flat" | "plane";
  /** Texels in a row. */
  readonly width: number;
}

/** A texture that a draw writes. */
export interface Target extends Source {
  readonly height: number;
}

/** The last two dimensions. */
export function rowsAndColumns(shape: readonly number[]): readonly [rows: number, columns: number] {
  return [shape.length > 1 ? (shape.at(-2) as number) : 1, shape.at(-1) ?? 1];
}

/** Blocks of 2 × 2 elements, of which those at the edges may be filled up. */
export function blocksOf(shape: readonly number[], size: number): number {
  const [rows, columns] = rowsAndColumns(shape);
  return (size / (rows * columns)) * Math.ceil(rows / 2) * Math.ceil(columns / 2);
}

export function sameBlocks(a: readonly number[], b: readonly number[]): boolean {
  const [[rows, columns], [otherRows, otherColumns]] = [rowsAndColumns(a), rowsAndColumns(b)];
  return rows === otherRows && columns === otherColumns;
}

/** How an input is read by a draw whose output is so wide: `"same"` needs no arithmetic. */
export function layoutFor({ layout, width }: Source, outputWidth: number): Layout {
  return layout === "packed" && width === outputWidth ? "same" : layout;
}

/** GLSL of `vec4 NAME_at(int t)`: the block t of an input. `shape` and `width` are uniforms. */
export function reader(name: string, layout: Layout): string {
  return `uniform ${layout === "plane" ? "planeSampler" : "sampler2D"} ${name};
vec4 ${name}_at(int t) {
${bodies[layout](name)}
}`;
}

const bodies: { readonly [L in Layout]: (name: string) => string } = {
  same: (name) => `  return texelFetch(${name}, ivec2(gl_FragCoord.xy), 0);`,
  plane: (name) => `  return fetchPlane(${name}, ivec2(gl_FragCoord.xy));`,
  packed: (name) => `  int w = textureSize(${name}, 0).x;
  return texelFetch(${name}, ivec2(t % w, t / w), 0);`,
  flat: (name) => `  int w = textureSize(${name}, 0).x;
  int blocksInRow = (shape.y + 1) / 2;
  int blocksInBatch = blocksInRow * ((shape.x + 1) / 2);
  int batch = t / blocksInBatch;
  int rest = t - batch * blocksInBatch;
  int row = rest / blocksInRow * 2;
  int column = rest % blocksInRow * 2;
  int first = (batch * shape.x + row) * shape.y + column;
  int right = column + 1 < shape.y ? 1 : 0;
  int below = row + 1 < shape.x ? shape.y : 0;
  ivec4 i = ivec4(first, first + right, first + below, first + below + right);
  return vec4(
    texelFetch(${name}, ivec2(i.x % w, i.x / w), 0).r,
    texelFetch(${name}, ivec2(i.y % w, i.y / w), 0).r,
    texelFetch(${name}, ivec2(i.z % w, i.z / w), 0).r,
    texelFetch(${name}, ivec2(i.w % w, i.w / w), 0).r
  );`,
};
