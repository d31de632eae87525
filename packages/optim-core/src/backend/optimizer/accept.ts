import type { StateEngine } from "../engine.ts";
import { refuse } from "../../errors.ts";
import type { Flags, UpdateRule } from "../../rule/define.ts";
import { type GradientRewrite, operationsOf } from "../program/program.ts";
import { traceEvaluation, traceReturn } from "../program/evaluation.ts";
import { traceRule } from "../program/trace.ts";

type Acceptor = Pick<
  StateEngine<never, never, never>,
  "backend" | "maxSlots" | "operations" | "prepareProgram"
>;

const plain: GradientRewrite = { clipValue: false, zeroNonFinite: false };

/**
 * Refuses a structure of a rule that a backend cannot run.
 *
 * @param masters whether it runs on parameters with a `master`
 * @throws OptimError `arena-full`, `unsupported`, `invalid-rule`
 */
export function acceptStructure(
  who: string,
  engine: Acceptor,
  { name, definition }: UpdateRule,
  structure: Flags,
  masters: boolean,
): void {
  const place = `${who}: ${name}`;
  const { backend, operations, maxSlots = Number.POSITIVE_INFINITY } = engine;
  // Traced whether the engine asks for it or not: a malformed rule is refused here, not at the first step.
  const point = traceEvaluation(definition, structure);
  const needed = Object.keys(definition.slots?.(structure) ?? {}).length + (point === undefined ? 0 : 1);
  if (needed > maxSlots) {
    const room = `at most ${maxSlots} slots per parameter (the option \`slots\` of the arena)`;
    refuse("arena-full", place, room, needed);
  }
  const program = traceRule(definition, structure, plain);
  for (const each of point === undefined ? [program] : [program, point, traceReturn()]) {
    for (const operation of operations === undefined ? [] : operationsOf(each)) {
      if (!operations?.has(operation)) {
        const known = [...(operations ?? [])].join(", ");
        refuse("unsupported", place, `operations of the ${backend} backend: ${known}`, operation);
      }
    }
    engine.prepareProgram?.(each, masters);
  }
}
