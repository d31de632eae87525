import * as fc from "fast-check";
import { createOptimWrapper, type OptimWrapper, type OptimWrapperStateDict } from "@mm/optim-core";
import { add, defineUpdateRule, mul, perRow, shared, sub, sum, total } from "@mm/optim-core/rule";
import type { AnyFactory } from "../../src/kit/kit.ts";
import type { LossClosure, OptimizerFactory } from "../../src/index.ts";

/** r ← r/2 + Σ of each row of g; all ← all/2 + Σ of all gradients; θ ← θ − r − all. Numbers of halves, exact for some twenty steps. */
const together = defineUpdateRule({
  name: "Together",
  shapes: "matrix",
  hyperparameters: { lr: 1 },
  slots: () => ({ byRow: perRow() }),
  scalarSlots: () => ({ all: shared(0) }),
  update({ param, grad, byRow, all }, { lr }) {
    const rows = add(mul(0.5, byRow), sum(grad, "row"));
    const next = add(mul(0.5, all), total(sum(grad)));
    return { param: sub(param, mul(lr, add(rows, next))), byRow: rows, all: next };
  },
});

const shapes = { a: [2, 3], b: [3, 2], c: [1, 2] } as const;
type Name = keyof typeof shapes;
const names = Object.keys(shapes) as readonly Name[];

type Gradients = Readonly<Partial<Record<Name, number>>>;

/** Rows of gradients by name, those of a tensor all the same number; not finite: the step is skipped. */
type Call =
  | { readonly call: "step"; readonly gradients: Gradients }
  | { readonly call: "freeze" | "unfreeze"; readonly name: Name }
  /** Saves, and the second time goes on from there with an optimizer of its own. */
  | { readonly call: "save" | "load" };

const calls: fc.Arbitrary<readonly Call[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        call: fc.constant("step" as const),
        gradients: fc.record(
          Object.fromEntries(names.map((name) => [name, fc.constantFrom(-2, -1, 0, 1, 3, Infinity)])),
          { requiredKeys: [] },
        ),
      }),
    },
    fc.record({
      call: fc.constantFrom("freeze" as const, "unfreeze" as const),
      name: fc.constantFrom(...names),
    }),
    fc.record({ call: fc.constantFrom("save" as const, "load" as const) }),
  ),
  { maxLength: 12 },
);

/** The part of a tensor that the rule keeps, and the number that all share. */
interface Modelled {
  readonly rows: { [N in Name]: number };
  all: number;
}

/** Looks for calls after which an optimizer with slots per row and a shared slot and plain arithmetic part: `undefined` for none. */
export async function searchTogether<P, Loss extends LossClosure, LossValue>(
  factory: OptimizerFactory<P, Loss, LossValue>,
  numRuns: number,
): Promise<string | undefined> {
  const property = fc.asyncProperty(calls, async (sequence) => {
    await compare(factory as unknown as AnyFactory, sequence);
  });
  const details = await fc.check(property, { numRuns, seed: 1 });
  return details.failed ? `${fc.defaultReportMessage(details)}\n${String(details.errorInstance)}` : undefined;
}

async function compare(factory: AnyFactory, sequence: readonly Call[]): Promise<void> {
  const parameters = Object.fromEntries(
    names.map((name) => {
      const [rows, cols] = shapes[name];
      // Of one dimension where outputs are last, which a matrix of equal rows does not tell apart.
      return [name, factory.createParameter(new Float32Array(rows * cols), hostShape(factory, shapes[name]))];
    }),
  );
  const create = (): OptimWrapper<LossClosure, unknown> => {
    const groups = [{ params: parameters, shapes: hostShapes(factory) }];
    return createOptimWrapper(factory.createOptimizer(together(), groups as never), { onNonFinite: "skip" });
  };
  let wrapper = create();
  const values = { a: 0, b: 0, c: 0 };
  let model: Modelled = { rows: { a: 0, b: 0, c: 0 }, all: 0 };
  const frozen = new Set<Name>();
  let saved: { state: OptimWrapperStateDict; model: Modelled; frozen: readonly Name[] } | undefined;
  for (const call of sequence) {
    if ("name" in call) {
      wrapper[call.call]([call.name]);
      if (call.call === "freeze") frozen.add(call.name);
      else frozen.delete(call.name);
    } else if (call.call === "save") {
      saved = { state: await wrapper.stateDict(), model: structuredClone(model), frozen: [...frozen] };
    } else if (!("gradients" in call)) {
      if (saved === undefined) continue;
      wrapper.dispose();
      wrapper = create();
      await wrapper.loadStateDict(saved.state);
      model = structuredClone(saved.model);
      frozen.clear();
      for (const name of saved.frozen) frozen.add(name);
    } else {
      const { gradients } = call;
      const reached = names.filter((name) => gradients[name] !== undefined);
      const given = reached.filter((name) => !frozen.has(name));
      if (given.length === 0) continue;
      const size = (name: Name): number => shapes[name][0] * shapes[name][1];
      wrapper.updateParams(
        factory.linearLoss(
          reached.map((name) => ({
            name,
            parameter: parameters[name],
            gradient: new Float32Array(size(name)).fill(gradients[name] ?? 0),
          })),
        ),
      );
      if (given.some((name) => gradients[name] === Infinity)) continue;
      const sumOf = (name: Name): number => size(name) * (gradients[name] ?? 0);
      model.all = model.all / 2 + given.reduce((all, name) => all + sumOf(name), 0);
      for (const name of given) {
        model.rows[name] = model.rows[name] / 2 + shapes[name][1] * (gradients[name] ?? 0);
        values[name] -= model.rows[name] + model.all;
      }
    }
  }
  const found = await wrapper.optimizer.readParameters();
  const { optimizer } = await wrapper.stateDict();
  wrapper.dispose();
  for (const parameter of Object.values(parameters)) factory.disposeParameter?.(parameter);
  for (const { name, scalarSlots } of optimizer.params)
    near(`${name}: all`, scalarSlots["all"] ?? model.all, model.all);
  for (const name of names) for (const value of found[name] ?? []) near(name, value, values[name]);
}

/** Everything is a number of halves, except where a device adds up in another way. */
function near(what: string, received: number, expected: number): void {
  if (Math.abs(received - expected) > 1e-4 * Math.max(1, Math.abs(expected)))
    throw new Error(`${what}: expected ${expected}, got ${received}`);
}

const hostShape = ({ outputs }: AnyFactory, [rows, cols]: readonly [number, number]): readonly number[] =>
  outputs === "last" ? [cols, rows] : [rows, cols];

const hostShapes = (factory: AnyFactory): { readonly [name: string]: readonly number[] } =>
  Object.fromEntries(names.map((name) => [name, hostShape(factory, shapes[name])]));
