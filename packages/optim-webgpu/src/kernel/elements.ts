import { type ElementPass, neededNodes, type Program, rootsOf } from "@mm/optim-core/backend";
import { printNodes } from "./elementwise.ts";
import { record, tile } from "./layout.ts";
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
  axes[node] === 3 ? `n${node}` : `vec4f(n${node})`;

/** The nodes, loading what they need. */
export function printElements(
  program: Program,
  access: ParameterAccess,
  wanted: readonly number[],
): { readonly scalars: string; readonly vectors: string } {
  return printNodes(program, wanted, (node) => {
    if (node.op === "grad") return "grad[at]";
    if (node.op === "slot") return `slot${node.slot}[at]`;
    if (node.op === "matrix") return `matrix${node.matrix}[at]`;
    return access === "packed" ? `slot${program.slots.length}[at]` : loadParameter[access];
  });
}

/** The matrices of a program that a pass reads, in order. */
export function matricesOf(program: Program, pass: ElementPass): readonly number[] {
  const read = neededNodes(program.nodes, rootsOf(program, pass)).flatMap((index) => {
    const node = program.nodes[index];
    return node?.op === "matrix" ? [node.matrix] : [];
  });
  return [...new Set(read)].sort((a, b) => a - b);
}

/**
 * Parameter, gradient, each slot (and the master weights), the matrices that are read, and the one that is made; table, range.
 *
 * @param written how parameter and slots are bound
 */
export function elementBindings(
  program: Program,
  access: ParameterAccess,
  written: BindingKind,
  read: readonly number[],
  made?: number,
): readonly Binding[] {
  const slots = program.slots.length + (access === "packed" ? 1 : 0);
  const plane = (name: string, kind: BindingKind): Binding => [name, kind, "array<vec4f>"];
  return [
    ["param", written, parameterTypes[access]],
    plane("grad", "read-only-storage"),
    ...Array.from({ length: slots }, (_, slot) => plane(`slot${slot}`, written)),
    ...read.map((matrix) => plane(`matrix${matrix}`, "read-only-storage")),
    ...(made === undefined ? [] : [plane("made", "storage")]),
    ["table", "read-only-storage", "array<u32>"],
    ["range", "uniform", "vec4u"],
  ];
}

/** What a workgroup knows of its tile. Tiles of records that are not live are left. */
export const tileStart = (scalars: string): string => wgsl`
  let index = group.x + group.y * groups.x;
  if (index >= range.y) { return; }
  let tile = range.x + 4u * index;
  let record = table[tile + ${tile.record}u];
  if (table[record + ${record.live}u] == 0u) { return; }
  let plane = table[tile + ${tile.planeStart}u] / 4u;
  let start = table[tile + ${tile.paramStart}u];
  let length = table[tile + ${tile.length}u];
  ${scalars}
`;

/**
 * A loop over the tile, four elements a turn: those from element `4 * i` of the tile, vector `at` of the planes and element `element` of
 * the parameter; `own` of them are the parameter's.
 */
export const tileLoop = (turn: string): string => wgsl`
  for (var i = thread; 4u * i < length; i += 64u) {
    let at = plane + i;
    let element = start + 4u * i;
    let own = vec4u(0, 1, 2, 3) < vec4u(length - 4u * i);
    ${turn}
  }
`;

/**
 * The same without a mask but for the last vector, which costs 8 % less on a device without a GPU.
 *
 * @param turn what is done, where `own` says which elements are the parameter's or all are
 */
export const storingLoop = (turn: (masked: boolean) => string): string => wgsl`
  let vectors = length / 4u;
  for (var i = thread; i < vectors; i += 64u) {
    let at = plane + i;
    let element = start + 4u * i;
    ${turn(false)}
  }
  let rest = length % 4u;
  if (thread != 0u || rest == 0u) { return; }
  let at = plane + vectors;
  let element = start + 4u * vectors;
  let own = vec4u(0, 1, 2, 3) < vec4u(rest);
  ${turn(true)}
`;

const parameterTypes = { vec4: "array<vec4f>", scalar: "array<f32>", packed: "array<u32>" };

const loadParameter = {
  vec4: "param[element / 4u]",
  scalar: "vec4f(param[element], param[element + 1u], param[element + 2u], param[element + 3u])",
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
