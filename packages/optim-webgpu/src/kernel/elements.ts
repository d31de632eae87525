import {
  type ElementPass,
  isPacked,
  neededNodes,
  type Program,
  rootsOf,
  type TensorReduction,
} from "@mm/optim-core/backend";
import type { Axes } from "@mm/optim-core/rule";
import { alongFunctions, isShaped, loadAlong, placeInTile, shapeOf } from "./along.ts";
import { printNodes } from "./elementwise.ts";
import { bfloat16Functions } from "./half.ts";
import { record, tile, tileElements } from "./layout.ts";
import type { Binding, BindingKind } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/**
 * How a parameter is bound. Planes (gradients, slots and matrices) are always `array<vec4f>`.
 *
 * - `vec4`: `array<vec4f>`: starts at a multiple of 4 elements, and its length is one or zeros follow that are its own (an arena).
 * - `scalar`: `array<f32>`, anything else.
 * - `packed`: float16, two in a word of `array<u32>`. Starts at an even element; a half after its end is left alone. The float32
 *   weights that the step computes on are one more slot, the last.
 */
export type ParameterAccess = "vec4" | "scalar" | "packed";

export const asVector = ({ axes }: Program, node: number): string =>
  axes[node] === 0 ? `vec4f(n${node})` : `n${node}`;

/**
 * The nodes, loading what they need.
 *
 * @param from `"tile"`: four elements of a tile, at a whole vector of the planes; `"anywhere"`: those from `ordinal` of the tensor on
 */
export function printElements(
  program: Program,
  access: ParameterAccess,
  wanted: readonly number[],
  from: "tile" | "anywhere" = "tile",
): { readonly scalars: string; readonly vectors: string } {
  const plane = (name: string): string =>
    from === "tile" ? `${name}[at]` : `${name}From(planeFirst + ordinal)`;
  const parameter = from === "tile" ? loadParameter : loadParameterFrom;
  return printNodes(program, wanted, (node) => {
    if (node.op === "grad") return plane("grad");
    if (node.op === "slot" && program.slotAxes[node.slot] !== 3) return loadAlong(program, node);
    if (node.op === "slot") {
      const slot = plane(`slot${node.slot}`);
      // From anywhere, its function widens it.
      return from === "tile" && isPacked(program, node.slot) ? `fromBfloat16(${slot})` : slot;
    }
    if (node.op === "matrix") return plane(`matrix${node.matrix}`);
    if (node.op === "reduced") return loadAlong(program, node);
    return access === "packed" ? plane(`slot${program.slots.length}`) : parameter[access];
  });
}

/** The subjects of these reductions. */
export function operandsOfReductions({ reductions }: Program, numbers: readonly number[]): readonly number[] {
  return numbers.flatMap((index) => {
    const { a, b } = reductions[index] as TensorReduction;
    return [a, b];
  });
}

/** Functions that load what the nodes of a program need, in the order of their use; none where they are not needed. */
export function elementsFunctions(
  program: Program,
  access: ParameterAccess,
  from: "tile" | "anywhere",
  read: readonly number[] = [],
): readonly string[] {
  const loads = isShaped(program) ? shapedFunctions(program, access, from, read) : "";
  return [program.slotDtypes === undefined ? "" : bfloat16Functions(), loads].filter((text) => text !== "");
}

function shapedFunctions(
  program: Program,
  access: ParameterAccess,
  from: "tile" | "anywhere",
  read: readonly number[],
): string {
  if (from === "tile") return alongFunctions(program);
  const slots = [...program.slots.keys()].filter((slot) => program.slotAxes[slot] === 3);
  if (access === "packed") slots.push(program.slots.length);
  const vectors = [
    ...(access === "vec4" ? ["param"] : []),
    "grad",
    ...slots.map((slot) => `slot${slot}`),
    ...read.map((matrix) => `matrix${matrix}`),
  ];
  const packed = new Set(slots.filter((slot) => isPacked(program, slot)).map((slot) => `slot${slot}`));
  const load = (name: string, at: string): string =>
    packed.has(name) ? `fromBfloat16(${name}[${at}])` : `${name}[${at}]`;
  const loads = vectors.map(
    (name) => wgsl`
      fn ${name}From(at: u32) -> vec4f {
        let end = at + 3u;
        let first = ${load(name, "at / 4u")};
        let last = ${load(name, "end / 4u")};
        switch (at % 4u) {
          case 0u: { return first; }
          case 1u: { return vec4f(first.yzw, last.x); }
          case 2u: { return vec4f(first.zw, last.xy); }
          default: { return vec4f(first.w, last.xyz); }
        }
      }
    `,
  );
  return [alongFunctions(program), ...loads].filter((text) => text !== "").join("\n\n");
}

/** The matrices of a program that a pass reads, in order. */
export function matricesOf(program: Program, pass: ElementPass): readonly number[] {
  const read = neededNodes(program.nodes, rootsOf(program, pass)).flatMap((index) => {
    const node = program.nodes[index];
    return node?.op === "matrix" ? [node.matrix] : [];
  });
  return [...new Set(read)].sort((a, b) => a - b);
}

/** The bindings of a kernel beside gradient, table and range. */
export interface ElementBindings {
  /** How parameter and slots are bound. */
  readonly written: BindingKind;
  /** Matrices that are read. */
  readonly read: readonly number[];
  /** Whether a matrix is made. */
  readonly makes?: boolean;
  /** How what reductions per row and column have found is bound, where a program has some. Default: to be read. */
  readonly scratch?: BindingKind;
}

/**
 * Parameter, gradient, each slot (and the master weights), the matrices that are read, the one that is made, what reductions per row and column
 * have found; table, range.
 */
export function elementBindings(
  program: Program,
  access: ParameterAccess,
  { written, read, makes = false, scratch = "read-only-storage" }: ElementBindings,
): readonly Binding[] {
  const slots = program.slots.length + (access === "packed" ? 1 : 0);
  const plane = (name: string, kind: BindingKind): Binding => [name, kind, "array<vec4f>"];
  return [
    ["param", written, parameterTypes[access]],
    plane("grad", "read-only-storage"),
    ...Array.from({ length: slots }, (_, slot): Binding => {
      const isAlong = slot < program.slots.length && program.slotAxes[slot] !== 3;
      if (isPacked(program, slot)) return [`slot${slot}`, written, "array<vec2u>"];
      return isAlong ? [`slot${slot}`, written, "array<f32>"] : plane(`slot${slot}`, written);
    }),
    ...read.map((matrix) => plane(`matrix${matrix}`, "read-only-storage")),
    ...(makes ? [plane("made", "storage")] : []),
    ...(hasScratch(program) ? [["scratch", scratch, "array<f32>"] as const] : []),
    ["table", "read-only-storage", "array<u32>"],
    ["range", "uniform", "vec4u"],
  ];
}

/** Whether a program has reductions per row or column. */
export const hasScratch = ({ reductions }: Program): boolean =>
  reductions.some(({ per }) => per !== "tensor");

/** The facts about a workgroup's tile. Tiles of records that are not live are left. */
export const tileStart = (
  program: Program,
  scalars: string,
  from: "tile" | "anywhere" = "tile",
): string => wgsl`
  let index = group.x + group.y * groups.x;
  if (index >= range.y) { return; }
  let tile = range.x + 4u * index;
  let record = table[tile + ${tile.record}u];
  if (table[record + ${record.live}u] == 0u) { return; }
  let plane = table[tile + ${tile.planeStart}u] / 4u;
  let start = table[tile + ${tile.paramStart}u];
  let length = table[tile + ${tile.length}u];
  ${shapeOf(program)}
  ${from === "tile" ? "" : firstOfTensor}
  ${scalars}
`;

/** Where the tensor begins in the planes, and in the parameter's binding. */
const firstOfTensor = `let planeFirst = 4u * plane - ${tileElements}u * turn;
let paramFirst = start - ${tileElements}u * turn;`;

/**
 * A loop over the tile, four elements a turn: those from element `4 * i` of the tile, vector `at` of the planes and element `element` of
 * the parameter; `own` of them are the parameter's.
 */
export const tileLoop = (program: Program, wanted: readonly number[], turn: string): string => wgsl`
  for (var i = thread; 4u * i < length; i += 64u) {
    let at = plane + i;
    let element = start + 4u * i;
    let own = vec4u(0, 1, 2, 3) < vec4u(length - 4u * i);
    ${placeInTile(program, wanted, "i")}
    ${turn}
  }
`;

/** A loop over what is one per row (axes 1) or per column (2), of which a workgroup takes as many as a tile has elements. */
export const vectorLoop = (axes: Axes, turn: string): string => wgsl`
  let count = ${axes === 1 ? "rows" : "cols"};
  let begin = min(${tileElements}u * turn, count);
  let held = min(${tileElements}u, count - begin);
  for (var i = thread; 4u * i < held; i += 64u) {
    let ${axes === 1 ? "rowOf" : "colOf"} = begin + 4u * i + vec4u(0, 1, 2, 3);
    let own = vec4u(0, 1, 2, 3) < vec4u(held - 4u * i);
    ${turn}
  }
`;

/**
 * The same without a mask but for the last vector, which costs 8 % less on a device without a GPU.
 *
 * @param turn what is done, where `own` says which elements are the parameter's or all are
 */
export const storingLoop = (
  program: Program,
  wanted: readonly number[],
  turn: (masked: boolean) => string,
): string => wgsl`
  let vectors = length / 4u;
  for (var i = thread; i < vectors; i += 64u) {
    let at = plane + i;
    let element = start + 4u * i;
    ${placeInTile(program, wanted, "i")}
    ${turn(false)}
  }
  let rest = length % 4u;
  if (thread != 0u || rest == 0u) { return; }
  let at = plane + vectors;
  let element = start + 4u * vectors;
  let own = vec4u(0, 1, 2, 3) < vec4u(rest);
  ${placeInTile(program, wanted, "vectors")}
  ${turn(true)}
`;

const parameterTypes = { vec4: "array<vec4f>", scalar: "array<f32>", packed: "array<u32>" };

const loadParameter = {
  vec4: "param[element / 4u]",
  scalar: "vec4f(param[element], param[element + 1u], param[element + 2u], param[element + 3u])",
};

const loadParameterFrom = {
  vec4: "paramFrom(paramFirst + ordinal)",
  scalar:
    "vec4f(param[paramFirst + ordinal], param[paramFirst + ordinal + 1u], param[paramFirst + ordinal + 2u], param[paramFirst + ordinal + 3u])",
};

/** Stores `next` into the parameter. */
export const storeParameter: {
  readonly [A in ParameterAccess]: (next: string, masked: boolean) => string;
} = {
  vec4: (next) => `param[element / 4u] = ${next};`,
  scalar: (_, masked) =>
    ["x", "y", "z", "w"]
      .map((lane, index) => [`param[element + ${index}u] = next.${lane};`, lane] as const)
      .map(([store, lane]) => (masked && lane !== "x" ? `if (own.${lane}) { ${store} }` : store))
      .join("\n"),
  packed: (_, masked) => wgsl`
    let halves = toHalves(next);
    let word = element / 2u;
    ${masked ? storeSomeHalves : storeHalves}
  `,
};

const storeHalves = `param[word] = (halves.y << 16u) | halves.x;
param[word + 1u] = (halves.w << 16u) | halves.z;`;

const storeSomeHalves = `param[word] = select(param[word] & 0xffff0000u, halves.y << 16u, own.y) | halves.x;
if (own.z) { param[word + 1u] = (param[word + 1u] & 0xffff0000u) | halves.z; }`;
