import type { StepItem } from "../engine.ts";
import { memo } from "../memo.ts";
import type { Program, ScalarInstruction } from "../program/program.ts";

/** Sums over all tensors of a rule, while a step runs. */
export interface Totals {
  /** Those that are known, by register of a program. */
  of(program: Program): ReadonlyMap<number, number>;
}

type Item = Pick<StepItem<unknown, unknown, number>, "program" | "parameter">;

/**
 * Adds up what the `total` passes of a step's items ask for, pass by pass, over the items of one rule in their order. Rules without any cost nothing.
 *
 * @param evaluate runs an item's passes from `from` to before `until`, and gives its registers, to be read at once
 */
export function totalsOf<I extends Item>(
  items: readonly I[],
  evaluate: (item: I, from: number, until: number, known: Totals) => ArrayLike<number>,
): Totals | undefined {
  if (!items.some(({ program }) => barriersOf(program).length > 0)) return undefined;
  const byProgram = new Map<Program, Map<number, number>>();
  const known: Totals = { of: (program) => memo(byProgram, program, () => new Map<number, number>()) };
  const byRule = new Map<unknown, I[]>();
  for (const item of items) {
    if (barriersOf(item.program).length > 0)
      memo(byRule, item.parameter.group.rule.definition, (): I[] => []).push(item);
  }
  for (const members of byRule.values()) {
    const most = Math.max(...members.map(({ program }) => barriersOf(program).length));
    for (let barrier = 0; barrier < most; barrier += 1) addUp(members, barrier, evaluate, known, byProgram);
  }
  return known;
}

/** Structures of one rule have other registers for the same sums, in the same order. */
function addUp<I extends Item>(
  members: readonly I[],
  barrier: number,
  evaluate: (item: I, from: number, until: number, known: Totals) => ArrayLike<number>,
  known: Totals,
  byProgram: Map<Program, Map<number, number>>,
): void {
  const sums: number[] = [];
  for (const item of members) {
    const at = barriersOf(item.program)[barrier];
    if (at === undefined) continue;
    const before = barriersOf(item.program)[barrier - 1];
    const registers = evaluate(item, before === undefined ? 0 : before + 1, at, known);
    for (const [index, register] of registersAt(item.program, at).entries()) {
      const { a } = item.program.scalars[register] as Extract<ScalarInstruction, { op: "total" }>;
      sums[index] = (sums[index] ?? 0) + (registers[a] as number);
    }
  }
  for (const { program } of members) {
    const at = barriersOf(program)[barrier];
    if (at === undefined) continue;
    const found = memo(byProgram, program, () => new Map<number, number>());
    for (const [index, register] of registersAt(program, at).entries())
      found.set(register, sums[index] as number);
  }
}

/** The pass with which a program goes on once all sums are known. */
export const lastBarrier = (program: Program): number => (barriersOf(program).at(-1) ?? -1) + 1;

/** Which passes of a program are sums over tensors. */
const barriersOf = ({ passes }: Program): readonly number[] =>
  passes.length === 1 ? [] : [...passes.keys()].filter((index) => passes[index]?.kind === "total");

function registersAt({ passes }: Program, at: number): readonly number[] {
  const pass = passes[at];
  return pass?.kind === "total" ? pass.registers : [];
}
