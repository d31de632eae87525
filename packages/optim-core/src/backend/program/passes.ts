import type { Axes } from "../../rule/expression.ts";
import {
  axesOfReduction,
  type ElementNode,
  operandsOf,
  type Pass,
  type Program,
  type ScalarInstruction,
  type Store,
  vectorOf,
} from "./program.ts";

type Parts = Omit<Program, "label" | "scalarSlots" | "scalarOutputs" | "passes">;

/** Elements first, then rows, then columns. */
const domains: readonly Axes[] = [3, 1, 2];

/**
 * The passes of a program. All reductions over one domain that are known as early as each other share one; a matrix routine and a sum over tensors
 * come as soon as their operand is known; updates are the last.
 */
export function layOutPasses(parts: Parts): readonly Pass[] {
  const { reductions, matrices, scalars } = parts;
  const levels = createLevels(parts);
  const axesOf = reductions.map((reduction) => axesOfReduction(parts, reduction));
  const ofReductions = reductions.map(({ a, b }) => Math.max(levels.node(a), levels.node(b)));
  const ofMatrices = matrices.map(({ of }) => levels.node(of));
  const ofTotals = scalars.map((instruction) =>
    instruction.op === "total" ? levels.register(instruction.a) : -1,
  );
  const at = (all: readonly number[], level: number): number[] =>
    [...all.keys()].filter((index) => all[index] === level);

  const passes: Pass[] = [];
  const last = Math.max(-1, ...ofReductions, ...ofMatrices, ...ofTotals);
  for (let level = 0; level <= last; level += 1) {
    for (const domain of domains) {
      const here = at(ofReductions, level).filter((index) => axesOf[index] === domain);
      if (here.length > 0) passes.push({ kind: "reduce", axes: domain, reductions: here });
    }
    const registers = at(ofTotals, level);
    if (registers.length > 0) passes.push({ kind: "total", registers });
    for (const matrix of at(ofMatrices, level)) passes.push({ kind: "matrix", matrix });
  }
  return [...passes, ...updates(parts)];
}

function updates(parts: Parts): readonly Pass[] {
  const { outputs, slotAxes, nodes } = parts;
  const written: readonly (Store & { readonly axes: Axes })[] = [
    { node: outputs.param, vector: 0, axes: 3 },
    ...outputs.slots.map((node, slot) => ({ node, vector: 2 + slot, axes: slotAxes[slot] as Axes })),
  ];
  // A value that stays as it is need not be written.
  const changed = written.filter(({ node, vector }) => vectorOf(parts, nodes[node]) !== vector);
  return domains.flatMap((domain): Pass[] => {
    const stores = changed
      .filter(({ axes }) => axes === domain)
      .map(({ node, vector }) => ({ node, vector }));
    return stores.length > 0 || domain === 3 ? [{ kind: "update", axes: domain, stores }] : [];
  });
}

/** How many passes, one after the other, a value waits for. */
function createLevels({ nodes, scalars, uniforms, reductions, matrices }: Parts): {
  node(index: number): number;
  register(index: number): number;
} {
  const [ofNodes, ofRegisters] = [new Map<number, number>(), new Map<number, number>()];
  const known = (levels: Map<number, number>, index: number, find: () => number): number => {
    let level = levels.get(index);
    if (level === undefined) levels.set(index, (level = find()));
    return level;
  };
  const most = (levels: readonly number[]): number => Math.max(0, ...levels);
  const afterReduction = (index: number): number => {
    const { a, b } = reductions[index] as Program["reductions"][number];
    return 1 + Math.max(node(a), node(b));
  };
  const node = (index: number): number =>
    known(ofNodes, index, () => {
      const item = nodes[index] as ElementNode;
      if (item.op === "reduced") return afterReduction(item.reduction);
      if (item.op === "matrix") return 1 + node((matrices[item.matrix] as Program["matrices"][number]).of);
      if (item.op !== "uniform") return most(operandsOf(item).map(node));
      const source = uniforms[item.uniform];
      return source?.from === "scalar" ? register(source.register) : 0;
    });
  const register = (index: number): number =>
    known(ofRegisters, index, () => {
      const item = scalars[index] as ScalarInstruction;
      if (item.op === "reduced") return afterReduction(item.reduction);
      if (item.op === "total") return 1 + register(item.a);
      return most(operandsOf(item).map(register));
    });
  return { node, register };
}
