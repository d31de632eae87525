import {
  type ElementPass,
  isFlat,
  isPackedVector,
  makingOf,
  type Program,
  type TensorReduction,
  vectorOf,
} from "@mm/optim-core/backend";
import { assemble, type FunctionWriter } from "./assembler.ts";
import { emitPass, type Measure, type PassSpec } from "./emit-pass.ts";

/** A pass that a module has a function for, under this name. */
export interface NamedPass {
  readonly name: string;
  readonly pass: ElementPass;
}

const domains = ["", "Rows", "Columns", ""];

/**
 * The element passes of a program: those that it lists, in order, and those that make the operands of its matrix routines. `update`, for most rules;
 * `reduce0`, `reduce1`, …, `update`, `updateRows` and so on where there are more.
 */
export function namedPasses(program: Program): readonly NamedPass[] {
  const elements = program.passes.filter((pass) => pass.kind === "reduce" || pass.kind === "update");
  const reductions = elements.filter(({ kind }) => kind === "reduce");
  return [
    ...program.matrices.map((_, index) => ({ name: `operand${index}`, pass: makingOf(program, index) })),
    ...elements.map((pass) => ({
      name: pass.kind === "update" ? `update${domains[pass.axes]}` : `reduce${reductions.indexOf(pass)}`,
      pass,
    })),
  ];
}

/**
 * The module of a program: a function for each of its passes. A function takes the byte addresses of all vectors; then, where it takes a tensor as
 * one row, the number of elements, else the numbers of rows and columns and the address of room for float64 sums of columns; then the uniforms in
 * order. It returns the sums of its reductions per tensor.
 */
export function emitProgram(program: Program, sharedMemory: boolean): Uint8Array {
  const functions: { [name: string]: FunctionWriter } = {};
  for (const { name, pass } of namedPasses(program)) functions[name] = emitPass(specOf(program, pass));
  return assemble(functions, sharedMemory);
}

function specOf(program: Program, pass: ElementPass): PassSpec {
  const { nodes, axes, slots, reductions, matrices, uniforms } = program;
  const measures = pass.kind === "reduce" ? pass.reductions : [];
  return {
    nodes,
    axes,
    vectorOf: (node) => vectorOf(program, node),
    isPacked: (vector) => isPackedVector(program, vector),
    vectors: 2 + slots.length + reductions.length + matrices.length,
    uniforms: uniforms.length,
    byRow: !isFlat(program, pass),
    stores: pass.kind === "update" ? pass.stores : [],
    measures: measures.map((index): Measure => {
      const { kind, a, b, per } = reductions[index] as TensorReduction;
      const what = kind === "norm" ? "dot" : kind;
      const vector = vectorOf(program, { op: "reduced", reduction: index }) as number;
      return { what, a, b, per, vector };
    }),
  };
}

/**
 * The module that serves every program: `add` and `replace` accumulate (the addresses of accumulator and gradient, the number of
 * elements, the scale); `squares`, `sizes` and `largest` measure (an address, the number of elements).
 */
export function emitGeneral(sharedMemory: boolean): Uint8Array {
  const flat = { vectorOf: vectorOfGeneral, isPacked: () => false, byRow: false } as const;
  const accumulate = {
    ...flat,
    nodes: [
      { op: "param" },
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "mul", a: 1, b: 2 },
      { op: "add", a: 0, b: 3 },
    ],
    axes: [3, 3, 0, 3, 3],
    vectors: 2,
    uniforms: 1,
    measures: [],
  } as const;
  const measure = (what: Measure["what"]): FunctionWriter =>
    emitPass({
      ...flat,
      nodes: [{ op: "param" }],
      axes: [3],
      vectors: 1,
      uniforms: 0,
      stores: [],
      measures: [{ what, a: 0, b: 0, per: "tensor", vector: 0 }],
    });
  return assemble(
    {
      add: emitPass({ ...accumulate, stores: [{ node: 4, vector: 0 }] }),
      replace: emitPass({ ...accumulate, stores: [{ node: 3, vector: 0 }] }),
      squares: measure("dot"),
      sizes: measure("sizes"),
      largest: measure("largest"),
    },
    sharedMemory,
  );
}

const vectorOfGeneral: PassSpec["vectorOf"] = (node) =>
  node.op === "param" ? 0 : node.op === "grad" ? 1 : undefined;
