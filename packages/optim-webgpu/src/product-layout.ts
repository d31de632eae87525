import type { MatrixRoutine } from "@mm/optim-core/backend";
import { batched } from "./batches.ts";
import type { Stages } from "./total-layout.ts";
import { jobWords } from "./kernel/index.ts";
import type { MatrixRoom, Member } from "./step-members.ts";

/** Matrices whose Newton–Schulz steps run at once: of one shape, in one chunk of the planes, as early as each other. */
export interface ProductLayout {
  /** When it is. */
  readonly stage: number;
  /** Members, by number. */
  readonly indices: readonly number[];
  /** Where the first of them lies; the others have the same buffers. */
  readonly room: MatrixRoom;
  /** By member: where its matrix begins in the planes, in elements. */
  readonly starts: readonly number[];
  /** As they lie in memory. */
  readonly rows: number;
  readonly cols: number;
  readonly coefficients: MatrixRoutine["coefficients"];
  /** Word of the table where their jobs are. */
  readonly jobs: number;
}

/** Bytes that the square matrices of one routine take. */
export const workBytes = (rows: number, cols: number): number => 4 * 2 * Math.min(rows, cols) ** 2;

/**
 * @param most bytes of one binding: where the squares of all matrices take more, they take turns
 * @param begin word of the table where jobs begin
 */
export function layOutProducts<P>(
  members: readonly Member<P>[],
  most: number,
  begin: number,
  stages: Stages,
): { readonly products: readonly ProductLayout[]; readonly words: number } {
  const routines = members.flatMap((member, index) =>
    member.program.passes.flatMap((pass, at) => {
      if (pass.kind !== "matrix" || member.parameter.length === 0) return [];
      const { coefficients } = member.program.matrices[pass.matrix] as MatrixRoutine;
      const stage = stages.get(member.program)?.[at] as number;
      return [{ member, index, stage, room: member.matrices[pass.matrix] as MatrixRoom, coefficients }];
    }),
  );
  const groups = batched(routines, ({ member: { parameter }, stage, room, coefficients }) => [
    stage,
    parameter.view.rows,
    parameter.view.cols,
    JSON.stringify(coefficients),
    ...room.map(({ buffer }) => buffer),
  ]);
  let words = 0;
  const products = groups.flatMap((group) => {
    const { stage, member, room, coefficients } = group[0] as (typeof group)[number];
    const { rows, cols } = member.parameter.view;
    const turn = Math.max(1, Math.min(mostGroups, Math.floor(most / workBytes(rows, cols))));
    return Array.from({ length: Math.ceil(group.length / turn) }, (_, index): ProductLayout => {
      const part = group.slice(turn * index, turn * (index + 1));
      const jobs = begin + words;
      words += jobWords * part.length;
      const starts = part.map((each) => each.room[0].place.start);
      return { stage, indices: part.map((each) => each.index), room, starts, rows, cols, coefficients, jobs };
    });
  });
  return { products, words };
}

/** Workgroups of one dimension, on every device. */
const mostGroups = 65_535;
