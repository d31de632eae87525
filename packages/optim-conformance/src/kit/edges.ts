import type { BaseHyperparameters, HyperparameterValue, LossScale } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adabelief,
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  adan,
  asgd,
  cautious,
  ema,
  lamb,
  lars,
  lion,
  lookahead,
  nadam,
  novograd,
  radam,
  rmsprop,
  rprop,
  sgd,
  signum,
} from "@mm/optim-rules";
import { expectEqual, expectNumbers } from "./assert.ts";
import type { GroupOf, Kit, KitTest } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

type Settings = { readonly [name: string]: HyperparameterValue };
type Factory = (settings?: Settings) => UpdateRule;

/** Every rule, and the combinators around one: their hyperparameters are tried out with those of what they combine. */
const factories: readonly (readonly [name: string, factory: Factory])[] = [
  ["AdaBelief", adabelief],
  ["Adadelta", adadelta],
  ["Adagrad", adagrad],
  ["Adam", adam],
  ["Adamax", adamax],
  ["AdamW", adamw],
  ["Adan", adan],
  ["ASGD", asgd],
  ["LAMB", lamb],
  ["LARS", lars],
  ["Lion", lion],
  ["NAdam", nadam],
  ["NovoGrad", novograd],
  ["RAdam", radam],
  ["RMSprop", rmsprop],
  ["Rprop", rprop],
  ["SGD", sgd],
  ["Signum", signum],
  ["cautious Adam", (settings?: Settings) => cautious(adam(settings))],
  ["EMA of Adam", (settings?: Settings) => ema(adam(settings), settings)],
  ["Lookahead of SGD", (settings?: Settings) => lookahead(sgd(settings), settings)],
].map(([name, factory]) => [name as string, factory as Factory]);

/** Numbers at the edges of what hyperparameters may be, largest first. */
const largest = [1e30, 1, 1 - 2 ** -24];

export const edgeTests: readonly KitTest[] = factories.map(([name, factory]): KitTest => ({
  name: `edges: ${name} with each hyperparameter at 0, at the largest that it takes, and switched`,
  needs: ["rules", "groups"],
  async run(kit) {
    for (const lossScale of [undefined, 64, { initScale: 64, growthInterval: 2 }])
      await besideReference(kit, factory, lossScale);
  },
}));

/** One group for each hyperparameter at each of its edges; four steps, of which a loss scale skips the third. */
async function besideReference(kit: Kit, factory: Factory, lossScale: LossScale | undefined): Promise<void> {
  const next = repeatable(9);
  const cases = edgesOf(factory);
  const initials = cases.map(([, settings], index): GroupOf<BaseHyperparameters> => ({
    name: caseName(settings),
    params: { [`p${index}`]: noise(next, 5) },
    ...settings,
  }));
  const rule = factory({ lr });
  const subject = kit.subject(rule, initials);
  const reference = kit.reference(subject, rule, initials);
  const both = [subject, reference].map((one) => ({
    one,
    lossScaler: lossScale === undefined ? undefined : one.optimizer.createLossScaler(lossScale),
  }));
  for (const { lossScaler } of both) kit.afterwards(() => lossScaler?.dispose());
  for (let step = 0; step < 4; step += 1) {
    const gradients = Object.fromEntries(cases.map((_, index) => [`p${index}`, noise(next, 5)]));
    if (lossScale !== undefined && step === 2) (gradients["p0"] as Float32Array)[1] = Number.NaN;
    for (const { one, lossScaler } of both) {
      one.train(gradients, { lossScaler });
      lossScaler?.update();
    }
  }
  const scale = typeof lossScale === "object" ? "a dynamic" : lossScale === undefined ? "no" : "a static";
  const [received, expected] = [await subject.read(), await reference.read()];
  const { steps, skipped } = await subject.optimizer.readMetrics();
  expectEqual(
    `update, ${scale} loss scale`,
    "steps, skipped",
    [steps, skipped],
    lossScale === undefined ? [4, 0] : [3, 1],
  );
  for (const [index, [, settings]] of cases.entries()) {
    expectNumbers(
      `update, ${caseName(settings)}, ${scale} loss scale`,
      received[`p${index}`] as Float32Array,
      expected[`p${index}`] as Float32Array,
      kit.referenceTolerance,
    );
  }
}

const lr = 0.01;

const caseName = (settings: Settings): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");

/** One hyperparameter at one of its edges, by itself; of a tuple, one element, and all of them at 0. */
function edgesOf(factory: Factory): readonly (readonly [name: string, settings: Settings])[] {
  const { hyperparameters } = factory();
  return Object.entries(hyperparameters).flatMap(([name, value]) =>
    edgeValues(value, (edge) => accepts(factory, { [name]: edge })).map(
      (edge) => [name, { [name]: edge }] as const,
    ),
  );
}

function edgeValues(
  value: HyperparameterValue,
  accepted: (value: HyperparameterValue) => boolean,
): readonly HyperparameterValue[] {
  if (typeof value === "boolean") return [!value].filter(accepted);
  const of = (write: (edge: number) => HyperparameterValue): readonly HyperparameterValue[] => {
    const most = largest.map(write).find(accepted);
    return [write(0), ...(most === undefined ? [] : [most])].filter(accepted);
  };
  if (typeof value === "number") return of((edge) => edge);
  const single = value.flatMap((_, at) =>
    of((edge) => value.map((old, index) => (index === at ? edge : old))),
  );
  return [...single, ...[value.map(() => 0)].filter(accepted)];
}

function accepts(factory: Factory, settings: Settings): boolean {
  try {
    factory(settings);
    return true;
  } catch {
    return false;
  }
}
