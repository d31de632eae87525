import { barriersOf, memo, type Program } from "@mm/optim-core/backend";
import { termWords, totalJobWords } from "./kernel/index.ts";
import type { Member } from "./step-members.ts";

/** A sum over the tensors of a rule. */
interface TotalLayout {
  /** Members, by number, and which of its program's totals it is. */
  readonly terms: readonly { readonly index: number; readonly place: number }[];
  /** Words of the table: of the list of terms, and of the sum. */
  readonly list: number;
  readonly sum: number;
}

/** The sums that are added up at once. */
export interface TotalsLayout {
  readonly stage: number;
  /** Word of the table where they are described. */
  readonly jobs: number;
  readonly totals: readonly TotalLayout[];
}

/** Where a program finds its sums: word of the table, and by total which of those there it is. */
export interface TotalsPlace {
  readonly block: number;
  readonly places: readonly number[];
}

/** By program, the stage of a step in which each of its passes before the update runs. */
export type Stages = ReadonlyMap<Program, readonly number[]>;

/** Those that have sums over the tensors of their rule. */
const programsByRule = <P>(members: readonly Member<P>[]): readonly Program[][] => {
  const byRule = new Map<unknown, Set<Program>>();
  for (const { program, parameter } of members) {
    if (barriersOf(program).length > 0)
      memo(byRule, parameter.group.rule.definition, () => new Set<Program>()).add(program);
  }
  return [...byRule.values()].map((programs) => [...programs]);
};

/** Passes as early as they can be, except that sums over the tensors of a rule wait until all its programs are there. */
export function layOutStages<P>(members: readonly Member<P>[]): Stages {
  const stages = new Map<Program, number[]>();
  for (const { program } of members) {
    const before = program.passes.filter(({ kind }) => kind !== "update");
    stages.set(program, [...before.keys()]);
  }
  for (const programs of programsByRule(members)) {
    const most = Math.max(...programs.map((program) => barriersOf(program).length));
    for (let barrier = 0; barrier < most; barrier += 1) {
      const stageOf = (program: Program): number =>
        stages.get(program)?.[barriersOf(program)[barrier] as number] ?? 0;
      const waiting = programs.filter((program) => barriersOf(program).length > barrier);
      const stage = Math.max(...waiting.map(stageOf));
      for (const program of waiting) {
        const later = stage - stageOf(program);
        const from = barriersOf(program)[barrier] as number;
        stages.set(
          program,
          (stages.get(program) as number[]).map((at, index) => (index >= from ? at + later : at)),
        );
      }
    }
  }
  return stages;
}

/** @param begin word of the table where sums and their terms are */
export function layOutTotals<P>(
  members: readonly Member<P>[],
  stages: Stages,
  begin: number,
): {
  readonly totals: readonly TotalsLayout[];
  readonly places: ReadonlyMap<Program, TotalsPlace>;
  readonly words: number;
} {
  let end = begin;
  const take = (words: number): number => {
    const at = end;
    end += words;
    return at;
  };
  const totals: TotalsLayout[] = [];
  const places = new Map<Program, TotalsPlace>();
  for (const programs of programsByRule(members)) {
    const most = Math.max(...programs.map((program) => barriersOf(program).length));
    // Structures of one rule have the same sums in the same order.
    const registersAt = (program: Program, barrier: number): number => {
      const pass = program.passes[barriersOf(program)[barrier] as number];
      return pass?.kind === "total" ? pass.registers.length : 0;
    };
    const counts = Array.from({ length: most }, (_, barrier) =>
      Math.max(...programs.map((program) => registersAt(program, barrier))),
    );
    const block = take(2 * counts.reduce((sum, count) => sum + count, 0));
    const firstOf = (barrier: number): number =>
      counts.slice(0, barrier).reduce((sum, count) => sum + count, 0);
    for (const program of programs) {
      const own = counts.flatMap((_, barrier) =>
        Array.from({ length: registersAt(program, barrier) }, (_, each) => firstOf(barrier) + each),
      );
      places.set(program, { block, places: own });
    }
    for (const [barrier, count] of counts.entries()) {
      const all = Array.from({ length: count }, (_, each): TotalLayout => {
        const place = firstOf(barrier) + each;
        const terms = members.flatMap(({ program }, index) => {
          const own = programs.includes(program) ? (places.get(program)?.places.indexOf(place) ?? -1) : -1;
          return own < 0 ? [] : [{ index, place: own }];
        });
        return { terms, list: take(termWords * terms.length), sum: block + 2 * place };
      });
      const some = programs.find((program) => barriersOf(program).length > barrier) as Program;
      const stage = stages.get(some)?.[barriersOf(some)[barrier] as number] as number;
      totals.push({ stage, jobs: take(totalJobWords * count), totals: all });
    }
  }
  return { totals, places, words: end - begin };
}
