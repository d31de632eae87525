import type { BaseHyperparameters, HyperparameterValue, Optimizer, ParametersInput } from "@mm/optim-core";
import { lengthOf, matrixViewOf } from "@mm/optim-core/backend";
import { requireRule, type UpdateRule } from "@mm/optim-core/rule";
import type { LossClosure, OptimizerFactory, TestFunction, Tolerance } from "../factory.ts";
import { expectEqual, expectTensors, type Values } from "../kit/assert.ts";
import { type AnyFactory, Kit, type Subject } from "../kit/kit.ts";
import { noise, repeatable } from "../kit/numbers.ts";
import { modelled, type Modelled, pointInFloat64, stepInFloat64 } from "./float64.ts";

/** A factory of any backend, in a list of several. */
export interface AnyOptimizerFactory extends Omit<
  OptimizerFactory<unknown, LossClosure, unknown>,
  "createOptimizer"
> {
  createOptimizer<H extends BaseHyperparameters>(
    rule: UpdateRule<H>,
    parameters: ParametersInput<never, H>,
  ): Optimizer<never, unknown, H>;
}

export interface TestRuleOptions {
  readonly test: TestFunction;
  /** With the hyperparameters that are to be tested. Its other switches are tried out, too. */
  readonly rule: UpdateRule;
  /** Backends that run rules (`capabilities.rules`). */
  readonly backends: readonly AnyOptimizerFactory[];
  /**
   * How far float32 may be from float64 after a dozen steps, of parameters of order 1. Default 1e-5 and 2e-5, or what the factory says
   * where that is more. A rule with cancellation (a variance as the difference of two averages) needs more.
   */
  readonly tolerance?: Tolerance;
}

type Settings = { readonly [name: string]: HyperparameterValue };

/** The shapes that a rule is tried on. Matrices are wide and tall. */
const shapesFor = {
  none: { w: [9], b: [4], s: [1] },
  either: { w: [4, 3], b: [4], s: [1, 2] },
  matrix: { w: [4, 3], b: [2, 3], s: [1, 2] },
};
type Shapes = (typeof shapesFor)["none"];
const shapesOf = ({ definition }: UpdateRule): Shapes => shapesFor[definition.shapes ?? "none"];
const defaultRuleTolerance: Tolerance = { absolute: 1e-5, relative: 2e-5 };

/**
 * Proves an update rule on every backend given: registers tests that train with it beside its own evaluation in float64, which takes the
 * meaning of each operation from the language of rules and nothing from a backend. Parameters, slots, scalar slots and step counts are
 * compared, after every step.
 *
 * Each switch among the hyperparameters is turned once, and each number set to 0 once, where the rule accepts that. Some gradients are
 * missing, the learning rate changes, and a loss scale skips a step; a state that is saved in between goes on to the bit. Of a rule with an
 * evaluation point that is compared too, and that training goes on from what it was.
 *
 * It does not know the formula that the rule is meant to be: write that a second time, in plain numbers, and compare a few steps by hand.
 *
 * ```ts
 * testRule({ test, rule: yogi({ lr: 1e-2 }), backends: [referenceFactory(), wasmFactory] });
 * ```
 *
 * @throws OptimError `invalid-rule` for what is no rule
 */
export function testRule({ test, rule, backends, tolerance }: TestRuleOptions): void {
  requireRule("testRule", rule);
  for (const factory of backends as readonly unknown[] as readonly AnyFactory[]) {
    const register = (what: string, run: (kit: Kit, close: Tolerance) => Promise<void>): void => {
      test(`${factory.name}: ${rule.name}: ${what}`, async () => {
        const kit = new Kit(factory);
        try {
          await run(kit, tolerance ?? atLeast(defaultRuleTolerance, factory.tolerance));
        } finally {
          kit.dispose();
        }
      });
    };
    for (const [what, settings] of variantsOf(rule)) {
      register(`${what}, is what its expressions come to in float64`, (kit, close) =>
        beside(kit, varied(rule, settings), close),
      );
    }
    register("goes on to the bit from a state that was saved", (kit) => resumes(kit, rule));
  }
}

function atLeast(own: Tolerance, given: Tolerance | "exact" | undefined): Tolerance {
  const { absolute, relative } = given === "exact" ? own : (given ?? own);
  return { absolute: Math.max(own.absolute, absolute), relative: Math.max(own.relative, relative) };
}

/** The rule as it is, with each switch turned, and with each number at 0. */
function variantsOf(rule: UpdateRule): readonly (readonly [what: string, settings: Settings])[] {
  const single = Object.entries(rule.hyperparameters).flatMap(
    ([name, value]: [string, HyperparameterValue]): readonly (readonly [string, Settings])[] => {
      const other =
        typeof value === "boolean"
          ? !value
          : typeof value === "number"
            ? value === 0
              ? 0.01
              : 0
            : value.map(() => 0);
      const settings = { [name]: other };
      return name !== "lr" && accepts(rule, settings) ? [[`${name} ${String(other)}`, settings]] : [];
    },
  );
  return [["as it is", {}], ...single];
}

function accepts({ definition, hyperparameters }: UpdateRule, settings: Settings): boolean {
  return definition.check?.({ ...hyperparameters, ...settings }) === undefined;
}

const varied = (rule: UpdateRule, settings: Settings): UpdateRule => ({
  ...rule,
  hyperparameters: Object.freeze({ ...rule.hyperparameters, ...settings }),
});

/** Gradients of a step, by what is special about it; `undefined` where a parameter has none. */
function gradientsOf(step: number, next: () => number, shapes: Shapes): Record<string, Float32Array> {
  const gradients = noiseOf(shapes, next);
  if (step === 2) gradients["b"]?.fill(0);
  if (step === 4 || step === 5) delete gradients["s"];
  return gradients;
}

const noiseOf = (shapes: Shapes, next: () => number): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, noise(next, lengthOf(shape))]));

/** An optimizer over these values. A host that knows no shapes is told them where the rule asks for them. */
function subjectOf(kit: Kit, rule: UpdateRule, values: Values): Subject {
  if (rule.definition.shapes === undefined) return kit.subject(rule, values);
  const shapes = shapesOf(rule);
  const params = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, { shape, values: values[name] ?? [] }]),
  );
  return kit.subject(rule, [{ params, shapes }]);
}

async function beside(kit: Kit, rule: UpdateRule, close: Tolerance): Promise<void> {
  const next = repeatable(11);
  const shapes = shapesOf(rule);
  const initials = noiseOf(shapes, next);
  const subject = subjectOf(kit, rule, initials);
  expectEqual(subject.optimizer.backend, "capabilities.rules", subject.optimizer.capabilities.rules, true);
  const lossScaler = subject.optimizer.createLossScaler(64);
  kit.afterwards(() => lossScaler.dispose());
  const model = new Map(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      modelled(initials[name] ?? [], matrixViewOf(shape, kit.factory.outputs)),
    ]),
  );
  const [group] = subject.optimizer.paramGroups;
  const hyperparameters: Record<string, HyperparameterValue> = { ...rule.hyperparameters };
  let shared: Modelled["scalarSlots"] | undefined;
  for (let step = 0; step < 12; step += 1) {
    if (step === 6) {
      group.lr *= 0.5;
      hyperparameters["lr"] = group.lr;
    }
    const gradients = gradientsOf(step, next, shapes);
    const skips = step === 8;
    if (skips) (gradients["w"] as Float32Array)[3] = Number.NaN;
    subject.train(gradients, step >= 7 && step <= 9 ? { lossScaler } : {});
    if (!skips) {
      const names = Object.keys(gradients);
      const taking = names.map((name) => [model.get(name), gradients[name]] as [Modelled, Float32Array]);
      const stepped = stepInFloat64(rule.definition, hyperparameters, taking, shared);
      for (const [index, after] of stepped.entries()) model.set(names[index] as string, after);
      shared = stepped[0]?.scalarSlots;
    }
    const expected = Object.fromEntries([...model].map(([name, { values }]) => [name, values]));
    expectTensors(`update: step ${step + 1}`, await subject.read(), expected, close);
    if (step % 4 === 3) await expectPoint(subject, rule.definition, hyperparameters, model, close);
  }
  await expectState(subject, model, close);
}

/** The parameters while the model is evaluated, and after it. A parameter that took no step stays. */
async function expectPoint(
  subject: Subject,
  definition: UpdateRule["definition"],
  hyperparameters: Settings,
  model: ReadonlyMap<string, Modelled>,
  close: Tolerance,
): Promise<void> {
  const trained = await subject.read();
  const hasPoint = definition.evaluate !== undefined;
  const points = [...model].map(([name, parameter]) => [
    name,
    hasPoint && parameter.step > 0
      ? pointInFloat64(definition, hyperparameters, parameter)
      : (trained[name] as ArrayLike<number>),
  ]);
  subject.optimizer.swapIn();
  expectTensors("evaluation", await subject.read(), Object.fromEntries(points) as Values, close);
  subject.optimizer.swapOut();
  expectTensors("evaluation: back", await subject.read(), trained, "exact");
}

/** Slots may be of any size: what is allowed is relative to the largest of their tensor. */
async function expectState(
  subject: Subject,
  model: ReadonlyMap<string, Modelled>,
  { relative }: Tolerance,
): Promise<void> {
  for (const { name, step, slots, scalarSlots } of (await subject.optimizer.stateDict()).params) {
    const expected = model.get(name) as Modelled;
    const compare = (received: Values, values: Values): void => {
      const largest = Math.max(0, ...Object.values(values).flatMap((each) => Array.from(each, Math.abs)));
      expectTensors(`state: ${name}`, received, values, { absolute: relative * largest, relative });
    };
    expectEqual("state", `step of ${name}`, step, expected.step);
    expectEqual("state", `slots of ${name}`, Object.keys(slots).sort(), Object.keys(expected.slots).sort());
    for (const [slot, values] of Object.entries(expected.slots))
      compare({ [slot]: slots[slot] ?? [] }, { [slot]: values });
    for (const [slot, value] of Object.entries(expected.scalarSlots))
      compare({ [slot]: [scalarSlots[slot] ?? Number.NaN] }, { [slot]: [value] });
  }
}

/** Six steps, saved, loaded into an optimizer over copies, and six more: beside one that took all twelve. */
async function resumes(kit: Kit, rule: UpdateRule): Promise<void> {
  const next = repeatable(12);
  const shapes = shapesOf(rule);
  const initials = noiseOf(shapes, next);
  const all = Array.from({ length: 12 }, (_, step) => gradientsOf(step, next, shapes));
  const whole = subjectOf(kit, rule, initials);
  for (const gradients of all.slice(0, 6)) whole.train(gradients);
  const halfway = subjectOf(kit, rule, await whole.read());
  halfway.optimizer.prepareLoad(await whole.optimizer.stateDict()).commit();
  for (const gradients of all.slice(6)) {
    whole.train(gradients);
    halfway.train(gradients);
  }
  expectTensors("state: after it was loaded", await halfway.read(), await whole.read(), "exact");
}
