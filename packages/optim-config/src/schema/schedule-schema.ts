import type {
  ByGroup,
  ConstantOptions,
  CosineOptions,
  CosineRestartsOptions,
  CyclicOptions,
  ExponentialOptions,
  FloorOptions,
  InverseSqrtOptions,
  LinearOptions,
  MultiStepOptions,
  OneCycleMomentumOptions,
  OneCycleOptions,
  PolynomialOptions,
  ReduceOnPlateauOptions,
  ScheduleOptions,
  SequenceOptions,
  StepScheduleOptions,
  WarmupCosineOptions,
  WsdOptions,
} from "@mm/optim-schedule";
import type { JsonSchema } from "./json-schema.ts";
import {
  either,
  type Fields,
  flag,
  integerFrom,
  list,
  number,
  object,
  oneOf,
  optional,
  record,
  type Shape,
} from "./shape.ts";

/**
 * The schedules of `@mm/optim-schedule` that JSON can say, by name.
 *
 * @param part the schedules that a sequence may be made of
 */
export function standardSchedules(part: JsonSchema): { readonly [type: string]: JsonSchema } {
  const shapes = {
    constant: object<ConstantOptions>({ ...common(), factor: factor() }),
    linear: object<LinearOptions>({
      ...common(),
      startFactor: optional(factor()),
      endFactor: optional(factor()),
      length: integerFrom(1),
    }),
    step: object<StepScheduleOptions>({ ...common(), stepSize: integerFrom(1), gamma: optional(factor()) }),
    multiStep: object<MultiStepOptions>({
      ...common(),
      milestones: list(integerFrom(0)),
      gamma: optional(factor()),
    }),
    exponential: object<ExponentialOptions>({ ...common(), gamma: factor() }),
    cosine: object<CosineOptions>({ ...common(), ...floor(), tMax: optional(integerFrom(1)) }),
    cosineRestarts: object<CosineRestartsOptions>({
      ...common(),
      ...floor(),
      periods: list(integerFrom(1), { minItems: 1 }),
      restartWeights: optional(list(factor())),
    }),
    polynomial: object<PolynomialOptions>({
      ...common(),
      ...floor(),
      length: integerFrom(1),
      power: optional(positive()),
    }),
    oneCycle: object<OneCycleOptions>({
      ...common(),
      length: integerFrom(1),
      etaMax: optional(byGroup()),
      pctStart: optional(share()),
      annealStrategy: optional(oneOf("cos", "linear")),
      divFactor: optional(positive()),
      finalDivFactor: optional(positive()),
      threePhase: optional(flag),
    }),
    oneCycleMomentum: object<OneCycleMomentumOptions>({
      ...common(),
      length: integerFrom(1),
      baseMomentum: optional(number()),
      maxMomentum: optional(number()),
      pctStart: optional(share()),
      annealStrategy: optional(oneOf("cos", "linear")),
      threePhase: optional(flag),
    }),
    cyclic: object<CyclicOptions>({
      ...common(),
      baseRatio: factor(),
      up: integerFrom(1),
      down: optional(integerFrom(1)),
      mode: optional(oneOf("triangular", "triangular2", "expRange")),
      gamma: optional(factor()),
    }),
    warmupCosine: object<WarmupCosineOptions>({
      ...common(),
      ...floor(),
      warmup: integerFrom(0),
      length: integerFrom(1),
      startFactor: optional(factor()),
    }),
    wsd: object<WsdOptions>({
      ...common(),
      ...floor(),
      warmup: optional(integerFrom(0)),
      length: integerFrom(1),
      decay: integerFrom(1),
      decayType: optional(oneOf("linear", "cosine", "sqrt")),
      startFactor: optional(factor()),
    }),
    inverseSqrt: object<InverseSqrtOptions>({
      ...common(),
      warmup: optional(integerFrom(0)),
      timescale: optional(integerFrom(1)),
    }),
    sequence: object<SequenceOptions>({
      schedules: list({ schema: part }, { minItems: 1 }),
      milestones: list(integerFrom(1)),
      begin: optional(integerFrom(0)),
    }),
    reduceOnPlateau: object<ReduceOnPlateauOptions>({
      ...floor(),
      mode: optional(oneOf("min", "max")),
      factor: optional(number({ minimum: 0, exclusiveMaximum: 1 })),
      patience: optional(integerFrom(0)),
      threshold: optional(number()),
      thresholdMode: optional(oneOf("rel", "abs")),
      cooldown: optional(integerFrom(0)),
      eps: optional(factor()),
    }),
  };
  return Object.fromEntries(
    Object.entries(shapes).map(([type, { schema }]) => [
      type,
      {
        ...schema,
        properties: {
          ...typed(type).properties,
          ...schema.properties,
          ...(type !== "reduceOnPlateau" && { convertToUpdates: flag.schema }),
        },
        required: ["type", ...(schema.required ?? [])],
      },
    ]),
  );
}

/** A schedule of which the factory alone knows the options; without a name, any that has one. */
export const typed = (name?: string): JsonSchema => ({
  type: "object",
  properties: { type: { type: "string", ...(name !== undefined && { enum: [name] }) } },
  required: ["type"],
});

const common = (): Fields<ScheduleOptions> => ({
  begin: optional(integerFrom(0)),
  length: optional(integerFrom(1)),
  by: optional(oneOf("update", "epoch")),
});

const floor = (): Fields<FloorOptions> => ({ etaMin: optional(byGroup()), etaMinRatio: optional(factor()) });
const byGroup = (): Shape<number | ByGroup> => either(number(), record(number()));
const share = (): Shape<number> => number({ exclusiveMinimum: 0, exclusiveMaximum: 1 });
const positive = (): Shape<number> => number({ exclusiveMinimum: 0 });
const factor = (): Shape<number> => number({ minimum: 0 });
