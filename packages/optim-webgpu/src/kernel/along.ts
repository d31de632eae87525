import { isPartial, neededNodes, type Program, type TensorReduction } from "@mm/optim-core/backend";
import { record, tileElements } from "./layout.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Vectors with one number per row or column of a matrix: slots, and what reductions per row or column have found. A slot is a vector in a buffer of its
 * own; what reductions have found lies in `scratch`, of each parameter those per row, then those per column, and behind them sums of groups of
 * rows, from which those per column are put together.
 *
 * Kernels for it run on the workgroups of the tensor's tiles, which share rows or columns among them.
 */
export function isShaped({ slotAxes, reductions }: Program): boolean {
  return slotAxes.some((axes) => axes !== 3) || reductions.some(({ per }) => per !== "tensor");
}

/** Words behind the uniforms of a record, where a program is shaped: rows and columns in memory, its place in `scratch`, and the start of each slot. */
export const along = { rows: 0, cols: 1, scratch: 2, slots: 3 } as const;

/** Where these begin in a record. */
export const alongAt = ({ uniforms }: Program): number => record.uniforms + uniforms.length;

/** Where what a record adds to sums over tensors begins in it, pairs. */
export function termsAt(program: Program): number {
  return alongAt(program) + (isShaped(program) ? along.slots + program.slots.length : 0);
}

/** Words that a record needs for a program. */
export function recordWords(program: Program): number {
  return termsAt(program) + 2 * program.scalars.filter(({ op }) => op === "total").length;
}

/** The reductions of a program per row, or per column, by number. */
export function reductionsAlong({ reductions }: Program, per: "row" | "column"): readonly number[] {
  return [...reductions.keys()].filter((index) => reductions[index]?.per === per);
}

/** Into how many groups the rows are divided that are summed per column: as `columnGroups` of the shader. */
function columnGroups(rows: number, cols: number, tiles: number): number {
  return Math.max(1, Math.min(rows, mostColumnGroups, Math.floor(tiles / Math.ceil(cols / columnsAtOnce))));
}
const mostColumnGroups = 256;
/** Columns that a workgroup takes at a time, four each thread. */
export const columnsAtOnce = 256;

/** Elements of `scratch` that a parameter takes. */
export function scratchElements(
  program: Program,
  { rows, cols }: { readonly rows: number; readonly cols: number },
  tiles: number,
): number {
  const [byRow, byColumn] = [reductionsAlong(program, "row"), reductionsAlong(program, "column")];
  // Without tiles there is nothing to divide.
  const sums = byColumn.length === 0 || tiles === 0 ? 0 : columnGroups(rows, cols, tiles);
  return byRow.length * rows + byColumn.length * (1 + sums) * cols;
}

/** Where the result of a reduction begins in `scratch`. Expects what `shapeOf` gives. */
export function resultAt(program: Program, reduction: number): string {
  const { per } = program.reductions[reduction] as TensorReduction;
  const byRow = reductionsAlong(program, "row");
  if (per === "row") return `scratchAt + ${byRow.indexOf(reduction)}u * rows`;
  return `scratchAt + ${byRow.length}u * rows + ${reductionsAlong(program, "column").indexOf(reduction)}u * cols`;
}

/** Where the sums of groups begin. */
export function groupsAt(program: Program): string {
  const [byRow, byColumn] = [reductionsAlong(program, "row"), reductionsAlong(program, "column")];
  return `scratchAt + ${byRow.length}u * rows + ${byColumn.length}u * cols`;
}

/** Four of a vector that is one per row or per column, which vary along the four elements as `rowOf` or `colOf` does. */
export function loadAlong(
  program: Program,
  node: { readonly slot: number } | { readonly reduction: number },
): string {
  if ("slot" in node) {
    const of = program.slotAxes[node.slot] === 1 ? "rowOf" : "colOf";
    return `slot${node.slot}Of(slot${node.slot}At + ${of})`;
  }
  const of = program.reductions[node.reduction]?.per === "row" ? "rowOf" : "colOf";
  return `scratchOf(${resultAt(program, node.reduction)} + ${of})`;
}

/** Loads of single floats from what is bound as such. */
export function alongFunctions(program: Program): string {
  const gather = (name: string): string =>
    `fn ${name}Of(at: vec4u) -> vec4f { return vec4f(${name}[at.x], ${name}[at.y], ${name}[at.z], ${name}[at.w]); }`;
  const slots = [...program.slots.keys()].filter((slot) => program.slotAxes[slot] !== 3);
  const hasScratch = program.reductions.some(({ per }) => per !== "tensor");
  return [...slots.map((slot) => gather(`slot${slot}`)), ...(hasScratch ? [gather("scratch")] : [])].join(
    "\n",
  );
}

/** The facts about the matrix that a workgroup's tile is of. Expects `tile` and `record`, and that the range's third word is its first tile's number. */
export function shapeOf(program: Program): string {
  if (!isShaped(program)) return "";
  const at = alongAt(program);
  const slots = [...program.slots.keys()].filter((slot) => program.slotAxes[slot] !== 3);
  return wgsl`
    let rows = table[record + ${at + along.rows}u];
    let cols = table[record + ${at + along.cols}u];
    let scratchAt = table[record + ${at + along.scratch}u];
    ${slots.map((slot) => `let slot${slot}At = table[record + ${at + along.slots + slot}u];`).join("\n")}
    // Which of the tensor's tiles it is, and of how many.
    let turn = range.z + index - table[record + ${record.firstTile}u];
    let turns = table[record + ${record.tileCount}u];
  `;
}

/**
 * Row and column of four elements of a tile, where nodes need them. Elements beyond the end are of rows that are not there.
 *
 * @param i which vector of the tile it is
 */
export function placeInTile(program: Program, wanted: readonly number[], i: string): string {
  return needsPlace(program, wanted)
    ? wgsl`
        let ordinal = ${tileElements}u * turn + 4u * ${i} + vec4u(0, 1, 2, 3);
        let rowOf = ordinal / cols;
        let colOf = ordinal % cols;
      `
    : "";
}

/** Whether nodes differ along rows or columns alone. */
function needsPlace({ nodes, axes }: Program, wanted: readonly number[]): boolean {
  return neededNodes(nodes, wanted).some((node) => isPartial(axes[node]));
}

export const columnGroupsFunction = (): string => wgsl`
  fn columnGroups(rows: u32, cols: u32, tiles: u32) -> u32 {
    return clamp(tiles / ((cols + ${columnsAtOnce - 1}u) / ${columnsAtOnce}u), 1u, min(rows, ${mostColumnGroups}u));
  }
`;
