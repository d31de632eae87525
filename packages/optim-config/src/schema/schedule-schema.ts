import type {
  ConstantOptions,
  CosineOptions,
  CosineRestartsOptions,
  ExponentialOptions,
  FloorOptions,
  LinearOptions,
  MultiStepOptions,
  OneCycleOptions,
  PolynomialOptions,
  ReduceOnPlateauOptions,
  ScheduleOptions,
  StepScheduleOptions,
} from "@mm/optim-schedule";
import type { JsonSchema } from "./json-schema.ts";
import {
  type Fields,
  flag,
  integerFrom,
  list,
  number,
  object,
  oneOf,
  optional,
  type Shape,
} from "./shape.ts";

/** The schedules of `@mm/optim-schedule` that JSON can say, by name. */
export function standardSchedules(): { readonly [type: string]: JsonSchema } {
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
      etaMax: optional(number()),
      pctStart: optional(number({ exclusiveMinimum: 0, exclusiveMaximum: 1 })),
      annealStrategy: optional(oneOf("cos", "linear")),
      divFactor: optional(positive()),
      finalDivFactor: optional(positive()),
      threePhase: optional(flag),
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
        properties: { ...typed(type).properties, ...schema.properties },
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

const floor = (): Fields<FloorOptions> => ({ etaMin: optional(number()), etaMinRatio: optional(factor()) });
const positive = (): Shape<number> => number({ exclusiveMinimum: 0 });
const factor = (): Shape<number> => number({ minimum: 0 });
