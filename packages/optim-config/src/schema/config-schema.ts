import type {
  BaseHyperparameters,
  ClipGradByValue,
  DynamicLossScale,
  HyperparameterValue,
} from "@mm/optim-core";
import { hyperparameterEntries } from "@mm/optim-core/backend";
import type {
  AnyParamRule,
  ClipGradAdaptiveConfig,
  ClipGradByNormConfig,
  DictMember,
  LayerDecay,
  OptimizerConfig,
  OptimWrapperConfig,
  OptimWrapperDictConfig,
  ParamOptions,
  Paramwise,
  RuleAround,
  ScaleLr,
  ScheduleConfig,
  SchedulesConfig,
} from "../config.ts";
import type { Matcher, MatcherFields } from "../matcher.ts";
import { tryFactory } from "../make-rule.ts";
import type { Registries, RuleRegistry, ScheduleRegistry } from "../registry.ts";
import type { JsonSchema } from "./json-schema.ts";
import {
  described,
  either,
  type Fields,
  flag,
  integerFrom,
  list,
  number,
  object,
  oneOf,
  open,
  optional,
  record,
  type Shape,
  some,
  text,
} from "./shape.ts";
import { standardSchedules, typed } from "./schedule-schema.ts";

// Everything is a function: a module does nothing when it is imported.

/**
 * The schema of {@link OptimWrapperConfig}, with the rules and schedules of registries and their options: JSON Schema, draft 7, as plain data.
 * Save it for editors, or hand it to a validator. The one for all rules of `@mm/optim-rules` and all schedules of `@mm/optim-schedule` is
 * published as `@mm/optim-config/schema/optim-wrapper.json`.
 */
export function optimWrapperSchema(registries: Registries): JsonSchema {
  const { known, definitions } = published(registries);
  return { $schema: draft, title: "An optimizer wrapper", definitions, ...wrapperShape(known).schema };
}

/** The schema of {@link OptimWrapperDictConfig}; published as `@mm/optim-config/schema/optim-wrapper-dict.json`. */
export function optimWrapperDictSchema(registries: Registries): JsonSchema {
  const { known, definitions } = published(registries);
  return { $schema: draft, title: "Optimizer wrappers by name", definitions, ...dictShape(known).schema };
}

/** The schema that a configuration is checked with: the options of a schedule are left to its factory, which may be anybody's. */
export const checkedWrapperSchema = (registries: Registries): JsonSchema =>
  wrapperShape(checked(registries)).schema;
export const checkedDictSchema = (registries: Registries): JsonSchema =>
  dictShape(checked(registries)).schema;
export const checkedSchedulesSchema = (registries: Registries): JsonSchema =>
  schedulesShape(openSchedule(registries)).schema;
/** A schedule within another: the type is checked, its options are left to its factory. */
export const checkedScheduleSchema = (registries: Registries): JsonSchema => openSchedule(registries);

const draft = "http://json-schema.org/draft-07/schema#";

interface Known {
  /** A rule of the registry with its hyperparameters. */
  readonly optimizer: Shape<OptimizerConfig<RuleRegistry, string>>;
  /** A schedule of the registry with its options. */
  readonly schedule: JsonSchema;
}

function checked(registries: Registries): Known {
  return {
    optimizer: optimizerShape(registries.rules, ruleAroundShape()),
    schedule: openSchedule(registries),
  };
}

/** Rules and schedules stand in the schema once, whatever refers to them. */
function published(registries: Registries): {
  readonly known: Known;
  readonly definitions: { readonly [name: string]: JsonSchema };
} {
  const refer = <T>(definition: string): Shape<T> => ({ schema: { $ref: `#/definitions/${definition}` } });
  return {
    known: { optimizer: refer("optimizer"), schedule: refer("schedule").schema },
    definitions: {
      ...scheduleDefinitions(registries, refer("part").schema),
      optimizer: optimizerShape(registries.rules, refer("around")).schema,
      around: ruleAroundShape().schema,
    },
  };
}

const openSchedule = ({ schedules = {} }: Registries): JsonSchema =>
  anyOf(Object.keys(schedules).map((type) => typed(type)));

/** All schedules of the registry, and those that a sequence may be made of: in closed form, and no sequences. */
function scheduleDefinitions(
  { schedules = {} }: Registries,
  part: JsonSchema,
): { readonly schedule: JsonSchema; readonly part?: JsonSchema } {
  const standard = standardSchedules(part);
  const schemas = (types: readonly string[]): JsonSchema =>
    anyOf(types.map((type) => standard[type] ?? typed(type)));
  const types = Object.keys(schedules);
  const parts = types.filter((type) => type !== "sequence" && type !== "reduceOnPlateau");
  return { schedule: schemas(types), ...(types.includes("sequence") && { part: schemas(parts) }) };
}

const anyOf = (schedules: readonly JsonSchema[]): JsonSchema => ({
  anyOf: schedules.length > 0 ? schedules : [typed()],
});

const wrapperShape = (known: Known): Shape<OptimWrapperConfig> => object(wrapperFields(known));

function dictShape(known: Known): Shape<OptimWrapperDictConfig> {
  const member: Shape<DictMember<RuleRegistry, string, ScheduleRegistry>> = object({
    params: optional(
      described("the parameters that this wrapper takes; absent: those below its own name", matcherShape()),
    ),
    ...wrapperFields(known),
  });
  return object({
    $schema: optional(text()),
    // Names as a dict takes them.
    wrappers: described("by name", record(member, text({ pattern: "^[^.]+$" }))),
    unused: optional(described("parameters that no wrapper takes", matcherShape())),
  });
}

function wrapperFields({ optimizer, schedule }: Known): Fields<OptimWrapperConfig> {
  return {
    $schema: optional(text()),
    optimizer: described("the update rule and its hyperparameters", optimizer),
    paramwise: optional(
      described(
        "options for single parameters: MMEngine's, or a list of rules that are all followed",
        either(paramwiseShape(), list(paramRuleShape(optimizer))),
      ),
    ),
    layerDecay: optional(
      described("smaller learning rates for layers that are further from the output", layerDecayShape()),
    ),
    accumulativeCounts: optional(described("backward calls per step", integerFrom(1))),
    clipGrad: optional(either(clipByNormShape(), clipByValueShape(), clipAdaptiveShape())),
    lossScale: optional(
      described("for mixed precision", either(oneOf("dynamic"), positive(), dynamicLossScaleShape())),
    ),
    onNonFinite: optional(described("not beside lossScale", oneOf("propagate", "skip", "throw", "zero"))),
    gradNorm: optional(described("measure the gradient norm although nothing clips by it", flag)),
    scaleLr: optional(
      described("multiply learning rates by batchSize × accumulativeCounts ÷ baseBatchSize", scaleLrShape()),
    ),
    slotDtype: optional(described("how slots are kept, all or by name", either(aDtype, record(aDtype)))),
    schedules: optional(described("by hyperparameter", schedulesShape(schedule))),
  };
}

const aDtype = /* @__PURE__ */ oneOf("float32", "bfloat16");

/** One alternative per rule, each hyperparameter of the kind of its default. */
function optimizerShape(rules: RuleRegistry, around: Shape<RuleAround>): Known["optimizer"] {
  const anyOf = Object.entries(rules).flatMap(([type, factory]): readonly JsonSchema[] => {
    const { rule } = tryFactory(factory);
    if (rule === undefined) return [];
    const options = hyperparameterSchemas(rule.hyperparameters);
    return [
      {
        title: rule.name,
        type: "object",
        properties: {
          type: { type: "string", enum: [type] },
          ...options,
          wrap: described("rules around it, the innermost first", list(around)).schema,
        },
        required: ["type"],
        additionalProperties: false,
      },
    ];
  });
  return { schema: { anyOf } };
}

/** The options of a rule around another are left to its function. */
const ruleAroundShape = (): Shape<RuleAround> =>
  open<{ readonly type: string }>({ type: name() }, anyHyperparameter());

function hyperparameterSchemas(hyperparameters: object): { readonly [name: string]: JsonSchema } {
  return Object.fromEntries(
    Object.entries(hyperparameterEntries(hyperparameters)).map(([name, value]) => [name, like(value)]),
  );
}

function like(value: HyperparameterValue): JsonSchema {
  if (typeof value === "boolean") return { type: "boolean" };
  if (typeof value === "number") return { type: "number" };
  return { type: "array", items: { type: "number" }, minItems: value.length, maxItems: value.length };
}

const paramwiseShape = (): Shape<Paramwise> =>
  object({
    customKeys: optional(
      described(
        "by a part of the name",
        record(open<ParamOptions<object>>(paramFields(), anyHyperparameter())),
      ),
    ),
    biasLrMult: optional(factor()),
    biasDecayMult: optional(factor()),
    normDecayMult: optional(factor()),
    dwconvDecayMult: optional(factor()),
    dcnOffsetLrMult: optional(factor()),
    flatDecayMult: optional(factor()),
    bypassDuplicate: optional(flag),
  });

const paramRuleShape = (optimizer: Known["optimizer"]): Shape<AnyParamRule> =>
  open(
    {
      match: described("which parameters", matcherShape()),
      name: optional(name()),
      frozen: optional(flag),
      rule: optional(described("another update rule for these parameters", optimizer)),
      ...paramFields(),
    },
    anyHyperparameter(),
  );

const paramFields = (): Fields<ParamOptions<object>> => ({
  lrMult: optional(factor()),
  decayMult: optional(factor()),
});

/** Which ones a rule has, is checked against the rule. */
const anyHyperparameter = (): JsonSchema => either(number(), flag, list(number())).schema;

const matcherShape = (): Shape<Matcher> =>
  either(name(), matcherFieldsShape(), list(either(name(), matcherFieldsShape()), { minItems: 1 }));

const matcherFieldsShape = (): Shape<MatcherFields> =>
  some({
    exact: optional(name()),
    prefix: optional(name()),
    glob: optional(name()),
    regex: optional(name()),
    contains: optional(name()),
    kind: optional(oneOf("bias", "norm", "embedding", "depthwise", "offset", "flat")),
  });

const layerDecayShape = (): Shape<LayerDecay> =>
  object({ rate: positive(), layers: list(matcherShape(), { minItems: 1 }) });

const clipByNormShape = (): Shape<ClipGradByNormConfig> =>
  object({
    type: optional(oneOf("norm")),
    maxNorm: factor(),
    per: optional(oneOf("all", "tensor")),
    normType: optional(either(positive(), oneOf("inf"))),
    errorIfNonfinite: optional(flag),
  });

const clipByValueShape = (): Shape<ClipGradByValue> =>
  object({ type: oneOf("value"), clipValue: positive() });

const clipAdaptiveShape = (): Shape<ClipGradAdaptiveConfig> =>
  object({ type: oneOf("adaptive"), clipFactor: positive(), eps: optional(positive()) });

const dynamicLossScaleShape = (): Shape<DynamicLossScale> =>
  object({
    initScale: optional(positive()),
    growthFactor: optional(number({ exclusiveMinimum: 1 })),
    backoffFactor: optional(number({ exclusiveMinimum: 0, exclusiveMaximum: 1 })),
    growthInterval: optional(integerFrom(1)),
    minScale: optional(positive()),
  });

function schedulesShape(schema: JsonSchema): Shape<SchedulesConfig<BaseHyperparameters, ScheduleRegistry>> {
  const one: Shape<ScheduleConfig<ScheduleRegistry>> = { schema };
  return record(either(one, list(one, { minItems: 1 })));
}

const scaleLrShape = (): Shape<ScaleLr> => object({ baseBatchSize: positive(), batchSize: positive() });

const positive = (): Shape<number> => number({ exclusiveMinimum: 0 });
const factor = (): Shape<number> => number({ minimum: 0 });
const name = (): Shape<string> => text({ minLength: 1 });
