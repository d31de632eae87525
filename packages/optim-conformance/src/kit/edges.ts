import type { BaseHyperparameters, HyperparameterValue, LossScale, LossScaler } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adabelief,
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  adamwEpsilonHat,
  adan,
  ademamix,
  adopt,
  asgd,
  cautious,
  ema,
  lamb,
  laprop,
  lars,
  lion,
  lookahead,
  mars,
  marsLion,
  nadam,
  nadamw,
  novograd,
  radam,
  rmsprop,
  rprop,
  scheduleFreeAdamw,
  scheduleFreeRadam,
  scheduleFreeSgd,
  sgd,
  sgdw,
  signum,
  stableAdamw,
  swa,
  yogi,
} from "@mm/optim-rules";
import { expectEqual, expectNumbers } from "./assert.ts";
import type { GroupOf, Kit, KitTest } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

type Settings = { readonly [name: string]: HyperparameterValue };
type Factory = (settings?: Settings) => UpdateRule;

/** Numbers at the edges of what hyperparameters may be, largest first. */
const largest = [1e30, 1, 1 - 2 ** -24];

/**
 * Of a rule that subtracts numbers of order 1 ÷ (1 − β₂) from each other. Where a device counts steps, and computes operation by operation what is one
 * number a tensor, it has float32 alone for it: near 1 no digit of the difference is left.
 */
const cancelling = [1e30, 1, 0.999];

/**
 * Every rule, and the combinators around one: their hyperparameters are tried out with those of what they combine. A rule that cancels digits says
 * how far it goes on such a device.
 */
const factories: readonly (readonly [name: string, factory: Factory, onDevice: readonly number[]])[] = [
  ["AdaBelief", adabelief],
  ["Adadelta", adadelta],
  ["Adagrad", adagrad],
  ["Adam", adam],
  ["Adamax", adamax],
  ["AdamW", adamw],
  ["AdamW with ε̂", adamwEpsilonHat],
  ["Adan", adan],
  ["AdEMAMix", ademamix],
  ["ADOPT", adopt],
  ["ASGD", asgd],
  ["LAMB", lamb],
  ["LaProp", laprop],
  ["LARS", lars],
  ["Lion", lion],
  ["MARS", mars],
  ["MARS-Lion", marsLion],
  ["NAdam", nadam],
  ["NAdamW", nadamw],
  ["NovoGrad", novograd],
  ["RAdam", radam, cancelling],
  ["RMSprop", rmsprop],
  ["Rprop", rprop],
  ["schedule-free AdamW", scheduleFreeAdamw],
  ["schedule-free RAdam", scheduleFreeRadam, cancelling],
  ["schedule-free SGD", scheduleFreeSgd],
  ["SGD", sgd],
  ["SGDW", sgdw],
  ["Signum", signum],
  ["StableAdamW", stableAdamw],
  ["Yogi", yogi],
  ["cautious Adam", (settings?: Settings) => cautious(adam(settings))],
  ["EMA of Adam", (settings?: Settings) => ema(adam(settings), settings)],
  ["SWA of SGD", (settings?: Settings) => swa(sgd(settings), settings)],
  ["Lookahead of SGD", (settings?: Settings) => lookahead(sgd(settings), settings)],
].map(([name, factory, onDevice = largest]) => [
  name as string,
  factory as Factory,
  onDevice as readonly number[],
]);

/** The numbers that a rule is tried with on a device which computes in float32 alone what is one number a tensor. */
function largestFor(
  { capabilities: { decides, inPlace } }: Kit,
  onDevice: readonly number[],
): readonly number[] {
  return decides === "device" && !inPlace ? onDevice : largest;
}

export const edgeTests: readonly KitTest[] = factories.map(([name, factory, onDevice]): KitTest => ({
  name: `edges: ${name} with each hyperparameter at 0, at the largest that it takes, and switched`,
  needs: ["rules", "groups"],
  run: (kit) => besideReference(kit, factory, largestFor(kit, onDevice)),
}));

const scales = {
  none: undefined,
  static: 64,
  dynamic: { initScale: 64, growthInterval: 2 },
} satisfies Readonly<Record<string, LossScale | undefined>>;

/**
 * The scale of each step. A scaled step may be the first and the last, and one is skipped. One optimizer takes them all, since what costs is
 * making it, and its kernels.
 */
const schedule = [
  ["dynamic", "finite"],
  ["none", "finite"],
  ["static", "not finite"],
  ["static", "finite"],
  ["dynamic", "finite"],
] as const satisfies readonly (readonly [keyof typeof scales, string])[];

/** One group for each hyperparameter at each of its edges. */
async function besideReference(kit: Kit, factory: Factory, most: readonly number[]): Promise<void> {
  const next = repeatable(9);
  const cases = edgesOf(factory, most);
  const initials = cases.map(([, settings], index): GroupOf<BaseHyperparameters> => ({
    name: caseName(settings),
    params: { [`p${index}`]: noise(next, 5) },
    ...settings,
  }));
  const rule = factory({ lr });
  const subject = kit.subject(rule, initials);
  const both = [subject, kit.reference(subject, rule, initials)].map((one) => {
    const scalers: Readonly<Record<string, LossScaler | undefined>> = {
      static: one.optimizer.createLossScaler(scales.static),
      dynamic: one.optimizer.createLossScaler(scales.dynamic),
    };
    for (const scaler of Object.values(scalers)) kit.afterwards(() => scaler?.dispose());
    return { one, scalers };
  });
  for (const [scale, finite] of schedule) {
    const gradients = Object.fromEntries(cases.map((_, index) => [`p${index}`, noise(next, 5)]));
    if (finite === "not finite") (gradients["p0"] as Float32Array)[1] = Number.NaN;
    for (const { one, scalers } of both) {
      one.train(gradients, { lossScaler: scalers[scale] });
      scalers[scale]?.update();
    }
  }
  const [received, expected] = await Promise.all(both.map(({ one }) => one.read()));
  const { steps, skipped } = await subject.optimizer.readMetrics();
  expectEqual("check", "steps, skipped", [steps, skipped], [4, 1]);
  for (const [index, [, settings]] of cases.entries()) {
    expectNumbers(
      `update, ${caseName(settings)}, with and without a loss scale`,
      received?.[`p${index}`] as Float32Array,
      expected?.[`p${index}`] as Float32Array,
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
function edgesOf(
  factory: Factory,
  most: readonly number[],
): readonly (readonly [name: string, settings: Settings])[] {
  const { hyperparameters } = factory();
  return Object.entries(hyperparameters).flatMap(([name, value]) =>
    edgeValues(value, most, (edge) => accepts(factory, { [name]: edge })).map(
      (edge) => [name, { [name]: edge }] as const,
    ),
  );
}

function edgeValues(
  value: HyperparameterValue,
  numbers: readonly number[],
  accepted: (value: HyperparameterValue) => boolean,
): readonly HyperparameterValue[] {
  if (typeof value === "boolean") return [!value].filter(accepted);
  const of = (write: (edge: number) => HyperparameterValue): readonly HyperparameterValue[] => {
    const most = numbers.map(write).find(accepted);
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
