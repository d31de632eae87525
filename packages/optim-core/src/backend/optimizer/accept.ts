import type { StateEngine } from "../engine.ts";
import { refuse } from "../../errors.ts";
import type { Flags, UpdateRule } from "../../rule/define.ts";
import { traceEvaluation, traceReturn } from "../program/evaluation.ts";
import { firstOperations, type GradientRewrite, operationsOf, type Program } from "../program/program.ts";
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
  const { maxSlots = Number.POSITIVE_INFINITY } = engine;
  const { shapes } = definition;
  for (const matrix of shapes === undefined ? [undefined] : shapes === "matrix" ? [true] : [true, false]) {
    const whole = matrix === undefined ? structure : { ...structure, matrix };
    // Traced whether the engine asks for it or not: a malformed rule is refused here, not at the first step.
    const point = traceEvaluation(definition, whole);
    const needed = Object.keys(definition.slots?.(whole) ?? {}).length + (point === undefined ? 0 : 1);
    if (needed > maxSlots) {
      const room = `at most ${maxSlots} slots per parameter (the option \`slots\` of the arena)`;
      const hint = "One of them keeps what was trained while the model is evaluated";
      refuse("arena-full", place, room, needed, point === undefined ? {} : { hint });
    }
    const program = traceRule(definition, whole, plain);
    for (const each of point === undefined ? [program] : [program, point, traceReturn()]) {
      requireOperations(place, engine, each);
      engine.prepareProgram?.(each, masters);
    }
  }
}

/** @throws OptimError `unsupported` for an operation that the kernels do not know */
export function requireOperations(
  where: string,
  { backend, operations = firstOperations }: Pick<Acceptor, "backend" | "operations">,
  program: Program,
): void {
  for (const operation of operationsOf(program)) {
    const known = `operations of the ${backend} backend: ${[...operations].join(", ")}`;
    if (!operations.has(operation)) refuse("unsupported", where, known, operation);
  }
}
