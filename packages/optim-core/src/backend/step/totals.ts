import type { StepItem } from "../engine.ts";
import { memo } from "../memo.ts";
import type { Program, ScalarInstruction } from "../program/program.ts";

/** Sums over all tensors of a rule, while a step runs. `T` is a number, or what stands for one on a device. */
export interface Totals<T = number> {
  /** Those that are known, by register of a program. */
  of(program: Program): ReadonlyMap<number, T>;
}

/** A sum over tensors, as one of them comes to it. */
export interface Barrier {
  /** The passes that lead there, from the barrier before it: `from` to before `until`. */
  readonly from: number;
  readonly until: number;
  /** The registers whose values are summed. */
  readonly operands: readonly number[];
}

type Item = Pick<StepItem<unknown, unknown, unknown>, "program" | "parameter">;

/**
 * Adds up what the `total` passes of a step's items ask for, pass by pass, over the items of one rule in their order. Rules without any cost nothing.
 *
 * @param evaluate gives the values of a barrier's operands, in their order, for an item
 */
export function totalsOf<I extends Item, T>(
  items: readonly I[],
  evaluate: (item: I, barrier: Barrier, known: Totals<T>) => readonly T[],
  add: (a: T, b: T) => T,
): Totals<T> | undefined {
  if (!items.some(({ program }) => barriersOf(program).length > 0)) return undefined;
  const byProgram = new Map<Program, Map<number, T>>();
  const known: Totals<T> = { of: (program) => memo(byProgram, program, () => new Map<number, T>()) };
  const byRule = new Map<unknown, I[]>();
  for (const item of items) {
    if (barriersOf(item.program).length > 0)
      memo(byRule, item.parameter.group.rule.definition, (): I[] => []).push(item);
  }
  for (const members of byRule.values()) {
    const most = Math.max(...members.map(({ program }) => barriersOf(program).length));
    for (let barrier = 0; barrier < most; barrier += 1) {
      // Structures of one rule have other registers for the same sums, in the same order.
      const sums: T[] = [];
      const waiting = members.filter(({ program }) => barriersOf(program)[barrier] !== undefined);
      for (const item of waiting) {
        const values = evaluate(item, barrierOf(item.program, barrier), known);
        for (const [index, value] of values.entries()) {
          const sum = sums[index];
          sums[index] = sum === undefined ? value : add(sum, value);
        }
      }
      for (const { program } of waiting) {
        const found = memo(byProgram, program, () => new Map<number, T>());
        for (const [index, register] of registersAt(program, barrier).entries())
          found.set(register, sums[index] as T);
      }
    }
  }
  return known;
}

/** The pass with which a program goes on once all sums are known. */
export const lastBarrier = (program: Program): number => (barriersOf(program).at(-1) ?? -1) + 1;

const barriers = /* @__PURE__ */ new WeakMap<Program, readonly number[]>();

/** Which passes of a program are sums over tensors. Asked at every step. */
export const barriersOf = (program: Program): readonly number[] =>
  memo(barriers, program, () =>
    [...program.passes.keys()].filter((index) => program.passes[index]?.kind === "total"),
  );

function barrierOf(program: Program, index: number): Barrier {
  const all = barriersOf(program);
  const operands = registersAt(program, index).map(
    (register) => (program.scalars[register] as Extract<ScalarInstruction, { op: "total" }>).a,
  );
  return { from: (all[index - 1] ?? -1) + 1, until: all[index] as number, operands };
}

function registersAt(program: Program, barrier: number): readonly number[] {
  const pass = program.passes[barriersOf(program)[barrier] as number];
  return pass?.kind === "total" ? pass.registers : [];
}
