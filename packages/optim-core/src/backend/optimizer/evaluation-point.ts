import { OptimError } from "../../errors.ts";
import type { StateEngine, StepItem } from "../engine.ts";
import type { Parameter } from "../parameter.ts";
import { traceEvaluation, traceReturn } from "../program/evaluation.ts";
import type { Program } from "../program/program.ts";
import { trainedSlot } from "../program/reserved.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { markedParameters } from "./marked-parameters.ts";
import type { ParameterSet } from "./parameter-set.ts";
import { ensureSlots } from "./slots.ts";

/** Calls that would mix up what is trained and what is evaluated. */
const refused: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "updateParams",
  "skip",
  "flush",
  "backward",
  "step",
  "stateDict",
  "prepareLoad",
  "writeGradients",
  "writeParameters",
  "addParamGroup",
  "swapIn",
]);

/** A parameter that holds its evaluation point, and the vector that keeps what was trained. */
interface Swapped<P, V, S> {
  readonly parameter: Parameter<P, V, S>;
  readonly trained: V;
}

/** Puts the evaluation point of an optimizer's rules into its parameters, and what was trained back. */
export class EvaluationPoint<P, V, S> {
  readonly #engine: StateEngine<P, V, S>;
  readonly #set: ParameterSet<P, V, S>;
  readonly #lifecycle: Lifecycle;
  /** Absent while the parameters hold what is trained. */
  #swapped: readonly Swapped<P, V, S>[] | undefined;
  /** The marks, to be taken off again. */
  #identities: readonly unknown[] = [];

  constructor(engine: StateEngine<P, V, S>, set: ParameterSet<P, V, S>, lifecycle: Lifecycle) {
    this.#engine = engine;
    this.#set = set;
    this.#lifecycle = lifecycle;
  }

  /** @throws OptimError `evaluating` for a call that has to wait until all parameters are what is trained */
  guard(call: string): void {
    if (!refused.has(call) || !markedParameters.hasAny(this.#engine.backend, this.#set.parameters)) return;
    throw new OptimError("evaluating", this.#lifecycle.at(call), {
      expected: "parameters that hold what is trained",
      hint: "They hold an evaluation point: call it after evaluating(), or after swapOut()",
    });
  }

  /** Without an evaluation point in any group it does nothing. Where it throws, nothing has changed. */
  swapIn(): void {
    const engine = this.#engine;
    const set = this.#set;
    if (!set.groups.some((group) => group.evaluates)) return;
    const swapped: Swapped<P, V, S>[] = [];
    try {
      const items = set.parameters.flatMap((parameter) => {
        const { group, stepped, view } = parameter;
        const structure = group.structureFor(view);
        const program = stepped ? traceEvaluation(group.rule.definition, structure) : undefined;
        if (program === undefined) return [];
        for (const each of [program, traceReturn()]) engine.prepareProgram?.(each, parameter.master === true);
        ensureSlots(engine, parameter);
        // Kernels bind one, though these do not read it.
        parameter.accumulator ??= engine.allocate(parameter, 0);
        const trained = engine.allocate(parameter, 0);
        swapped.push({ parameter, trained });
        return [itemOf({ parameter, trained }, program)];
      });
      if (items.length > 0) engine.stages.run(items);
    } catch (error) {
      this.#release(swapped);
      throw error;
    }
    this.#swapped = swapped;
    this.#identities = set.parameters.map(({ identity }) => identity);
    markedParameters.add(engine.backend, this.#identities);
  }

  /** Where nothing was swapped in it does nothing. */
  swapOut(): void {
    const swapped = this.#swapped;
    if (swapped === undefined) return;
    if (swapped.length > 0) this.#engine.stages.run(swapped.map((each) => itemOf(each, traceReturn())));
    this.#swapped = undefined;
    markedParameters.delete(this.#engine.backend, this.#identities);
    this.#release(swapped);
  }

  #release(swapped: readonly Swapped<P, V, S>[]): void {
    for (const { trained } of swapped) this.#engine.release(trained);
  }
}

function itemOf<P, V, S>({ parameter, trained }: Swapped<P, V, S>, program: Program): StepItem<P, V, S> {
  const slots = program.slots.map((slot) =>
    slot === trainedSlot ? trained : (parameter.slots.get(slot) as V),
  );
  return { parameter, program, slots };
}
