import { OptimError, refuse } from "../../errors.ts";
import { type BaseHyperparameters, hyperparameterEntries } from "../../hyperparameters.ts";
import { type LossScaler, resolveLossScale } from "../../loss-scaler.ts";
import type {
  Optimizer,
  ParameterInfo,
  ParametersInput,
  ParamGroup,
  ParamGroupInput,
  ParamGroups,
  StepOptions,
} from "../../optimizer.ts";
import { type Flags, requireRule, type UpdateRule } from "../../rule/define.ts";
import { anything, checkSchema } from "../../schema.ts";
import type { NamedTensors } from "../../state.ts";
import { checkDirect } from "../../arguments.ts";
import type { Engine, EngineLossScaler, StepItem } from "../engine.ts";
import { HyperparameterGroup, liveGroup } from "../groups.ts";
import { collectParameters, ensureSlots } from "./collect-parameters.ts";
import { runStep } from "../step/pipeline.ts";
import { type OptimizerInternals, prepareOptimizerState, saveOptimizerState } from "./load.ts";
import { traceRule } from "../program/trace.ts";
import { lengthOf, type Parameter } from "../parameter.ts";
import { type GradientRewrite, operationsOf } from "../program/program.ts";

/**
 * An {@link Optimizer} from an engine and a rule: names, groups, accumulation, the order of the stages, state. What `tfjsOptimizer` and
 * `wasmOptimizer` are made with.
 *
 * @param who the function that the caller called, for messages: `"wasmOptimizer"`
 * @throws OptimError `invalid-rule`, `invalid-parameter`, `empty-parameters`, `duplicate-parameter`, `unknown-option`,
 * `invalid-hyperparameter`, `arena-full`, `unsupported`
 */
export function createOptimizer<Loss, LossValue, P, V, G, S, H extends BaseHyperparameters>(
  who: string,
  engine: Engine<Loss, LossValue, P, V, G, S>,
  rule: UpdateRule<H>,
  input: ParametersInput<P, H>,
): Optimizer<Loss, LossValue, H> {
  requireRule(who, rule);
  const { backend, stages, maxSlots = Number.POSITIVE_INFINITY } = engine;
  const { definition, hyperparameters } = rule;
  const self: OptimizerInternals<P, V, S> = {
    engine,
    rule,
    parameters: [],
    groups: [],
    base: undefined,
    latched: undefined,
    disposed: false,
    loading: false,
    gradientChanges: 0,
  };
  const { parameters, groups } = self;
  const byName = new Map<string, Parameter<P, V, S>>();
  const paramGroups: ParamGroup<H>[] = [];
  const infos: ParameterInfo[] = [];
  const items = new Map<Parameter<P, V, S>, CachedItem<P, V, S>>();
  let baseParamSettings: ParamGroup<H> | undefined;
  let places = new Map<unknown, string>();
  let masters = false;
  let insideLoss = false;
  let gradientsReadAt: number | undefined;

  const accept = (structure: Flags): void => {
    const place = `${who}: ${rule.name}`;
    const needed = Object.keys(definition.slots?.(structure) ?? {}).length;
    if (needed > maxSlots) {
      refuse(
        "arena-full",
        place,
        `at most ${maxSlots} slots per parameter (the option \`slots\` of the arena)`,
        needed,
      );
    }
    // Traced whether the engine asks for it or not: a malformed rule is refused here, not at the first step.
    const program = traceRule(definition, structure, plain);
    const { operations } = engine;
    for (const operation of operations === undefined ? [] : operationsOf(program)) {
      if (operations?.has(operation) === false) {
        refuse(
          "unsupported",
          place,
          `operations of the ${backend} backend: ${[...operations].join(", ")}`,
          operation,
        );
      }
    }
    engine.prepareProgram?.(program, masters);
  };
  const createGroup = (name: string, options: object, where: string): HyperparameterGroup =>
    new HyperparameterGroup(definition, name, hyperparameterEntries(hyperparameters), options, accept, where);
  const add = (input: ParametersInput<P, H>, call: string): void => {
    // On a copy, so that a group whose options are refused leaves no names behind.
    const known = new Map(places);
    const collected = collectParameters(input, engine, who, groups.length, known);
    if (!engine.capabilities.groups && groups.length + collected.length > 1) {
      refuse("unsupported", `${call}: ${rule.name}`, "one parameter group", groups.length + collected.length);
    }
    const members = collected.flatMap((group) => group.parameters);
    const before = masters;
    masters ||= members.some(({ master }) => master);
    let added;
    try {
      added = collected.map(({ name, options, parameters }) => {
        const group = createGroup(name, options, `${who}: group ${JSON.stringify(name)}`);
        return { group, members: parameters };
      });
      engine.admit?.(members, call);
    } catch (error) {
      masters = before;
      throw error;
    }
    places = known;
    for (const { group, members } of added) {
      for (const member of members) {
        const { name, shape } = member;
        const parameter: Parameter<P, V, S> = {
          ...member,
          group,
          frozen: false,
          accumulator: undefined,
          pending: false,
          step: engine.scalar(0),
          stepped: false,
          slots: new Map(),
          scalarSlots: new Map(),
        };
        group.params.push(name);
        parameters.push(parameter);
        byName.set(name, parameter);
        infos.push({ name, shape, group: group.name });
      }
      groups.push(group);
      paramGroups.push(liveGroup<H>(group));
    }
    if (groups.length > 1 && self.base === undefined) {
      self.base = createGroup("base", {}, who);
      baseParamSettings = liveGroup<H>(self.base);
    }
  };

  const at = (call: string): string => `${backend} optimizer: ${call}`;
  /** Refuses what may not be called now. */
  const guard = (call: string): void => {
    const where = at(call);
    if (self.disposed) throw new OptimError("disposed", where, { expected: "one that was not disposed" });
    if (insideLoss)
      throw new OptimError("reentrant", where, { expected: "no call from its own loss closure" });
  };
  const isFrozen = (parameter: Parameter<P, V, S>): boolean =>
    parameter.frozen || engine.isFrozen?.(parameter.value) === true;
  const item = (parameter: Parameter<P, V, S>, rewrite: GradientRewrite): StepItem<P, V, S> => {
    const key = `${parameter.group.version} ${rewrite.clipValue} ${rewrite.zeroNonFinite}`;
    const known = items.get(parameter);
    if (known?.key === key) return known;
    const program = parameter.group.program(rewrite);
    engine.prepareProgram?.(program, parameter.master === true);
    ensureSlots(engine, parameter);
    const slots = program.slots.map((slot) => parameter.slots.get(slot) as V);
    const made = { key, parameter, program, slots };
    items.set(parameter, made);
    return made;
  };
  const named = (name: string, call: string): Parameter<P, V, S> =>
    byName.get(name) ??
    refuse("unknown-parameter", at(call), `one of ${[...byName.keys()].join(", ")}`, name);
  const freeze = (names: readonly string[], call: string, frozen: boolean): void => {
    guard(call);
    const given: unknown = names;
    if (!Array.isArray(given)) refuse("invalid-option", at(call), "an array of names", given);
    for (const parameter of names.map((name) => named(name, call))) parameter.frozen = frozen;
  };
  const checkTensors = (
    tensors: NamedTensors,
    call: string,
  ): (readonly [Parameter<P, V, S>, Float32Array])[] => {
    checkSchema("invalid-parameter", at(call), tensors, { each: anything });
    return Object.entries(tensors).map(([name, data]) => {
      const parameter = named(name, call);
      if (!(data instanceof Float32Array) || data.length !== parameter.length) {
        const where = at(`${call}: ${JSON.stringify(name)}`);
        refuse("invalid-parameter", where, `a Float32Array of ${parameter.length}`, data);
      }
      return [parameter, data];
    });
  };
  const step = (options: StepOptions): void => {
    checkDirect(at("step"), options, "step");
    const { rescale = 1, clipGrad, lossScaler, onNonFinite = "propagate", gradNorm = false } = options;
    const scaler = scalerOf<S>(backend, lossScaler);
    // Asked in any case: a scaler that was disposed refuses here, and not after the update.
    const current = scaler?.current();
    const lossScale = self.latched ?? current;
    const rewrite = {
      clipValue: clipGrad?.type === "value",
      zeroNonFinite: lossScale === undefined && onNonFinite === "zero",
    };
    const stepping = parameters
      .filter((parameter) => parameter.pending && !isFrozen(parameter))
      .map((parameter) => item(parameter, rewrite));
    if (stepping.length === 0) return;
    const { finite } = runStep(stages, stepping, {
      rescale,
      lossScale,
      lossScaler,
      clipGrad,
      onNonFinite,
      gradNorm,
    });
    for (const { parameter } of stepping) parameter.stepped = true;
    if (finite !== undefined) scaler?.record(finite);
    self.gradientChanges += 1;
  };
  /** Refuses parameters that were disposed or lost their memory since, before any of them is read or written. */
  const requireLive = (of: readonly Parameter<P, V, S>[], call: string): void => {
    for (const { name, value, length } of of) {
      const where = at(`${call}: parameter ${JSON.stringify(name)}`);
      const size = lengthOf(engine.describe(value, where).shape);
      if (size !== length) refuse("invalid-parameter", where, `its ${length} elements`, size);
    }
  };

  const prepareLoadSync: Optimizer<Loss, LossValue, H>["prepareLoadSync"] = (
    saved,
    options = {},
    committed,
  ) => {
    guard("prepareLoad");
    return prepareOptimizerState(self, saved, options, committed);
  };

  add(input, who);
  return {
    kind: "optimizer",
    backend,
    rule: rule.name,
    capabilities: engine.capabilities,
    defaults: hyperparameters,
    paramGroups: paramGroups as unknown as ParamGroups<H>,
    get baseParamSettings() {
      return baseParamSettings;
    },
    parameters: infos,
    addParamGroup(group) {
      guard("addParamGroup");
      if (self.loading) {
        throw new OptimError("load-pending", at("addParamGroup"), {
          expected: "commit() or dispose() of the load before",
        });
      }
      add([group as ParamGroupInput<P, H>], "addParamGroup");
    },

    backward(loss, options = {}) {
      guard("backward");
      checkDirect(at("backward"), options, "backward");
      const { scale = 1, lossScaler, returnLoss = false, stepFollows = false } = options;
      if (typeof loss !== "function") refuse("invalid-loss", "backward: loss", "a function", loss);
      const lossScale = self.latched ?? scalerOf<S>(backend, lossScaler)?.current();
      const unfrozen = parameters.filter((parameter) => !isFrozen(parameter));
      const request = { parameters: unfrozen, scale, lossScale, returnLoss, stepFollows };
      insideLoss = true;
      let result;
      try {
        result = engine.differentiate(loss, request);
      } finally {
        insideLoss = false;
      }
      for (const [parameter] of result.gradients) parameter.accumulator ??= engine.allocate(parameter, 0);
      for (const [parameter, gradient] of result.gradients) {
        engine.accumulate(parameter, gradient, request);
        parameter.pending = true;
      }
      self.latched = lossScale;
      self.gradientChanges += 1;
      return result.value;
    },

    guard,
    context(options, run) {
      guard("optimContext");
      if (typeof run !== "function") refuse("invalid-option", "optimContext", "a function", run);
      const value = engine.context ? engine.context(options, run) : run();
      if (typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === "function") {
        // It may reject; that is not the error to show.
        (value as PromiseLike<unknown>).then(undefined, () => {});
        refuse("invalid-option", "optimContext", "a synchronous function", value);
      }
      return value;
    },

    step(options = {}) {
      guard("step");
      try {
        step(options);
      } finally {
        engine.flush?.();
      }
    },

    zeroGrad() {
      guard("zeroGrad");
      engine.flush?.();
      for (const parameter of parameters) parameter.pending = false;
      self.latched = undefined;
      self.gradientChanges += 1;
    },

    freeze: (names) => freeze(names, "freeze", true),
    unfreeze: (names) => freeze(names, "unfreeze", false),
    get frozen() {
      return parameters.filter(isFrozen).map(({ name }) => name);
    },

    // Refusals of what is asynchronous are rejections. What comes before the first await happens at the call.
    async readMetrics(lossScaler) {
      guard("readMetrics");
      const [lossScale = 1, metrics] = await Promise.all([lossScaler?.readScale(), stages.readMetrics()]);
      return { ...metrics, lossScale };
    },
    async stateDict({ pending = true } = {}) {
      guard("stateDict");
      return saveOptimizerState(self, pending);
    },
    prepareLoad: async (...given) => prepareLoadSync(...given),
    prepareLoadSync,
    createLossScaler(options) {
      guard("createLossScaler");
      return engine.createLossScaler(resolveLossScale(options));
    },

    async readGradients() {
      guard("readGradients");
      gradientsReadAt = self.gradientChanges;
      const pending = parameters.filter((parameter) => parameter.pending);
      return byNames(pending, engine.read(pending.map(({ accumulator }) => accumulator as V)));
    },
    writeGradients(gradients) {
      guard("writeGradients");
      if (gradientsReadAt !== undefined && gradientsReadAt !== self.gradientChanges) {
        throw new OptimError("gradients-changed", "writeGradients", {
          expected: "no backward, step or zeroGrad since readGradients(): read them again",
        });
      }
      const writes = checkTensors(gradients, "writeGradients");
      for (const [parameter] of writes) parameter.accumulator ??= engine.allocate(parameter, 0);
      for (const [parameter, data] of writes) {
        engine.write(parameter.accumulator as V, data);
        parameter.pending = true;
      }
      gradientsReadAt = undefined;
      self.gradientChanges += 1;
    },
    async readParameters() {
      guard("readParameters");
      requireLive(parameters, "readParameters");
      return byNames(parameters, engine.readParameters(parameters));
    },
    writeParameters(values) {
      guard("writeParameters");
      const writes = checkTensors(values, "writeParameters");
      const written = writes.map(([parameter]) => parameter);
      requireLive(written, "writeParameters");
      for (const [parameter, data] of writes) engine.writeParameter(parameter, data);
    },

    dispose() {
      if (self.disposed) return;
      guard("dispose");
      self.disposed = true;
      for (const parameter of parameters) {
        const { accumulator, slots } = parameter;
        if (accumulator !== undefined) engine.release(accumulator);
        for (const slot of slots.values()) engine.release(slot);
        parameter.accumulator = undefined;
        parameter.pending = false;
        slots.clear();
      }
      items.clear();
      engine.dispose?.();
    },
  };
}

/** What a step needs of a parameter, as long as `key` is what it was made for. */
interface CachedItem<P, V, S> extends StepItem<P, V, S> {
  readonly key: string;
}

function scalerOf<S>(backend: string, lossScaler: LossScaler | undefined): EngineLossScaler<S> | undefined {
  if (lossScaler !== undefined && lossScaler.backend !== backend) {
    refuse("invalid-option", "lossScaler", `a loss scaler of ${backend}`, lossScaler.backend);
  }
  return lossScaler as EngineLossScaler<S> | undefined;
}

async function byNames(
  parameters: readonly { readonly name: string }[],
  reading: Promise<readonly Float32Array[]>,
): Promise<NamedTensors> {
  const tensors = await reading;
  const record = Object.create(null) as Record<string, Float32Array>;
  for (const [index, { name }] of parameters.entries()) record[name] = tensors[index] as Float32Array;
  return record;
}

const plain: GradientRewrite = { clipValue: false, zeroNonFinite: false };
