import { memo } from "../memo.ts";
import { type Extents, lengthAlong } from "./extents.ts";
import type { ElementPass, Program } from "./program.ts";

/** The lengths of the vectors behind the slots, which passes hand on to each other: 0 for a reduction that is a scalar. */
export function scratchLengths({ reductions, matrices }: Program, extents: Extents): readonly number[] {
  return [
    ...reductions.map(({ per }) => (per === "row" ? extents.rows : per === "column" ? extents.cols : 0)),
    ...matrices.map(() => lengthAlong(extents, 3)),
  ];
}

/** The number of the first matrix among the vectors of a program. */
export const firstMatrix = ({ slots, reductions }: Program): number => 2 + slots.length + reductions.length;

const makings = /* @__PURE__ */ new WeakMap<Program, ElementPass[]>();

/** The pass that writes the operand of a matrix routine into its vector. */
export function makingOf(program: Program, matrix: number): ElementPass {
  return memo(makings, program, () =>
    program.matrices.map(({ of }, index): ElementPass => {
      return { kind: "update", axes: 3, stores: [{ node: of, vector: firstMatrix(program) + index }] };
    }),
  )[matrix] as ElementPass;
}
