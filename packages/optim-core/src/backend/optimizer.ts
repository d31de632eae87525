import type { Capabilities } from "../capabilities.ts";
import { aBoolean, checkOptions } from "../check-options.ts";
import { OptimError } from "../errors.ts";
import { type BaseHyperparameters, hyperparameterEntries } from "../hyperparameters.ts";
import { type LossScale, type LossScaler, resolveLossScale } from "../loss-scaler.ts";
import type {
  AddedParamGroup,
  BackwardOptions,
  Optimizer,
  ParameterInfo,
  ParametersInput,
  ParamGroup,
  ParamGroupInput,
  ParamGroups,
  StepMetrics,
  StepOptions,
  StepSettings,
} from "../optimizer.ts";
import type { ErasedDefinition, Flags, UpdateRule } from "../rule/define.ts";
import type {
  LoadOptions,
  NamedTensors,
  OptimizerStateDict,
  PreparedLoad,
  StateDictOptions,
} from "../state.ts";
import type { Engine, EngineLossScaler, StepItem } from "./engine.ts";
import { HyperparameterGroup, liveGroup } from "./groups.ts";
import {
  collectParameters,
  type KnownParameters,
  type Parameter,
  type ParameterDescription,
} from "./parameters.ts";
import { memo } from "./memo.ts";
import { runStep } from "./pipeline.ts";
import { checkStepSettings } from "./settings.ts";
import { prepareOptimizerState, saveOptimizerState } from "./state.ts";
import type { GradientRewrite } from "./trace.ts";

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
  parameters: ParametersInput<P, H>,
): Optimizer<Loss, LossValue, H> {
  return new EngineOptimizer(who, engine, rule, parameters);
}

/** The part of an engine that holds state. */
type StateEngine<P, V, S> = Pick<
  Engine<never, unknown, P, V, never, S>,
  | "allocate"
  | "release"
  | "write"
  | "read"
  | "scalar"
  | "readScalars"
  | "stages"
  | "readNative"
  | "prepareNative"
>;

/** What the state functions see of an optimizer. */
export interface OptimizerInternals<P, V, S> {
  readonly definition: ErasedDefinition;
  readonly engine: StateEngine<P, V, S>;
  readonly parameters: Parameter<P, V, S>[];
  readonly groups: HyperparameterGroup[];
  baseSettings: HyperparameterGroup | undefined;
  /** The loss scale that pending gradients carry. */
  latched: S | undefined;
  disposed: boolean;
  loading: boolean;
  ensureSlots(parameter: Parameter<P, V, S>): void;
  gradientsChanged(): void;
}

interface CachedItem<P, V, S> extends StepItem<P, V, S> {
  readonly version: number;
}

class EngineOptimizer<Loss, LossValue, P, V, G, S, H extends BaseHyperparameters> implements Optimizer<
  Loss,
  LossValue,
  H
> {
  readonly kind = "optimizer";
  readonly backend: string;
  readonly rule: string;
  readonly capabilities: Capabilities;
  readonly defaults: Readonly<H>;
  readonly context?: <T>(options: { readonly sync: boolean }, run: () => T) => T;
  readonly #engine: Engine<Loss, LossValue, P, V, G, S>;
  readonly #state: OptimizerInternals<P, V, S>;
  readonly #who: string;
  readonly #byName = new Map<string, Parameter<P, V, S>>();
  readonly #groups: ParamGroup<H>[] = [];
  readonly #infos: ParameterInfo[] = [];
  #base: ParamGroup<H> | undefined;
  #known: KnownParameters = { groups: new Set(), names: new Map(), identities: new Map() };
  readonly #items = new Map<Parameter<P, V, S>, Map<string, CachedItem<P, V, S>>>();
  #insideLoss = false;
  /** Counts what changes gradients, so that a write can tell that they are not those that were read. */
  #gradientChanges = 0;
  #gradientsReadAt: number | undefined;

  constructor(
    who: string,
    engine: Engine<Loss, LossValue, P, V, G, S>,
    rule: UpdateRule<H>,
    input: ParametersInput<P, H>,
  ) {
    if ((rule as Partial<UpdateRule<H>> | undefined)?.kind !== "update-rule") {
      throw new OptimError("invalid-rule", `${who}: rule`, {
        expected: "an update rule such as adamw({ lr: 1e-3 })",
        received: rule,
      });
    }
    this.#who = who;
    this.#engine = engine;
    this.#state = {
      definition: rule.definition,
      engine,
      parameters: [],
      groups: [],
      baseSettings: undefined,
      latched: undefined,
      disposed: false,
      loading: false,
      ensureSlots: (parameter) => this.#ensureSlots(parameter),
      gradientsChanged: () => {
        this.#gradientChanges += 1;
      },
    };
    this.backend = engine.backend;
    this.rule = rule.name;
    this.capabilities = engine.capabilities;
    this.defaults = rule.hyperparameters;
    this.#add(input);
    if (engine.context !== undefined) this.context = engine.context;
  }

  get paramGroups(): ParamGroups<H> {
    return this.#groups as unknown as ParamGroups<H>;
  }

  get baseParamSettings(): ParamGroup<H> | undefined {
    return this.#base;
  }

  get parameters(): readonly ParameterInfo[] {
    return this.#infos;
  }

  addParamGroup(group: AddedParamGroup<H>): void {
    this.#guard("addParamGroup");
    if (this.#state.loading) {
      throw new OptimError("load-pending", `${this.backend} optimizer: addParamGroup`, {
        expected: "no load that is prepared",
      });
    }
    this.#add([group as ParamGroupInput<P, H>]);
  }

  #add(input: ParametersInput<P, H>): void {
    const who = this.#who;
    const engine = this.#engine;
    const { definition, groups, parameters } = this.#state;
    const base = hyperparameterEntries(this.defaults);
    const accept = (structure: Flags): void =>
      checkRoom(who, engine.maxSlots ?? Number.POSITIVE_INFINITY, definition, structure);
    const describe = (value: P, where: string): ParameterDescription => engine.describe(value, where);
    // On a copy, so that a group whose options are refused leaves no names behind.
    const known: KnownParameters = {
      groups: new Set(this.#known.groups),
      names: new Map(this.#known.names),
      identities: new Map(this.#known.identities),
    };
    const added = collectParameters(input, describe, who, known).map(
      ({ name, options, parameters: members }) => {
        const group = new HyperparameterGroup(
          definition,
          name,
          base,
          options,
          accept,
          `${who}: group ${JSON.stringify(name)}`,
        );
        // Traced whether the engine asks for it or not: a malformed rule is refused here, not at the first step.
        const program = group.program(plain);
        engine.prepareProgram?.(program);
        return { group, members };
      },
    );
    this.#known = known;
    for (const { group, members } of added) {
      for (const member of members) {
        group.params.push(member.name);
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
        parameters.push(parameter);
        this.#byName.set(member.name, parameter);
        this.#infos.push({ name: member.name, shape: member.shape, group: group.name });
      }
      groups.push(group);
      this.#groups.push(liveGroup<H>(group));
    }
    if (groups.length > 1 && this.#base === undefined) {
      const settings = new HyperparameterGroup(definition, "base", base, {}, () => {}, who);
      this.#state.baseSettings = settings;
      this.#base = liveGroup<H>(settings);
    }
  }

  readonly backward = (loss: Loss, options: BackwardOptions = {}): LossValue | undefined => {
    this.#guard("backward");
    if (typeof loss !== "function")
      throw new OptimError("invalid-loss", "backward: loss", { expected: "a function", received: loss });
    const { scale = 1, lossScaler, returnLoss = false } = options;
    const state = this.#state;
    const lossScale = state.latched ?? this.#scaler(lossScaler)?.current();
    const request = {
      parameters: state.parameters.filter((parameter) => !this.#isFrozen(parameter)),
      scale,
      lossScale,
      returnLoss,
    };
    this.#insideLoss = true;
    let result;
    try {
      result = this.#engine.differentiate(loss, request);
    } finally {
      this.#insideLoss = false;
    }
    for (const [parameter] of result.gradients) parameter.accumulator ??= this.#engine.allocate(parameter, 0);
    for (const [parameter, gradient] of result.gradients) {
      this.#engine.accumulate(parameter, gradient, request);
      parameter.pending = true;
    }
    state.latched = lossScale;
    state.gradientsChanged();
    return result.value;
  };

  checkStep(settings: StepSettings, lossScale?: LossScale | LossScaler): StepSettings {
    return checkStepSettings(this.backend, settings, lossScale);
  }

  step(options: StepOptions = {}): void {
    this.#guard("step");
    const { rescale = 1, clipGrad, lossScaler, onNonFinite = "propagate", gradNorm = false } = options;
    if (!Number.isFinite(rescale))
      throw new OptimError("invalid-option", "step: rescale", {
        expected: "a finite number",
        received: rescale,
      });
    const scaler = this.#scaler(lossScaler);
    const lossScale = this.#state.latched ?? scaler?.current();
    const rewrite = {
      clipValue: clipGrad?.type === "value",
      zeroNonFinite: lossScale === undefined && onNonFinite === "zero",
    };
    const items = this.#state.parameters
      .filter((parameter) => parameter.pending && !this.#isFrozen(parameter))
      .map((parameter) => this.#item(parameter, rewrite));
    if (items.length === 0) return;
    const checked = runStep(this.#engine.stages, items, {
      rescale,
      lossScale,
      clipGrad,
      onNonFinite,
      gradNorm,
    });
    for (const { parameter } of items) parameter.stepped = true;
    if (checked.finite !== undefined) scaler?.record(checked.finite);
    this.#state.gradientsChanged();
  }

  zeroGrad(): void {
    this.#guard("zeroGrad");
    for (const parameter of this.#state.parameters) parameter.pending = false;
    this.#state.latched = undefined;
    this.#state.gradientsChanged();
  }

  freeze(names: readonly string[]): void {
    for (const parameter of this.#named(names, "freeze")) parameter.frozen = true;
  }

  unfreeze(names: readonly string[]): void {
    for (const parameter of this.#named(names, "unfreeze")) parameter.frozen = false;
  }

  get frozen(): readonly string[] {
    return this.#state.parameters.filter((parameter) => this.#isFrozen(parameter)).map(({ name }) => name);
  }

  readMetrics(lossScaler?: LossScaler): Promise<StepMetrics> {
    return this.#reading("readMetrics", async () => {
      const scale = lossScaler?.readScale();
      const metrics = await this.#engine.stages.readMetrics();
      return { ...metrics, lossScale: (await scale) ?? 1 };
    });
  }

  stateDict(options: StateDictOptions = {}): Promise<OptimizerStateDict> {
    return this.#reading("stateDict", () => {
      const { pending = true } = checkOptions("stateDict", options, { pending: aBoolean });
      return saveOptimizerState(this.#state, this.rule, pending);
    });
  }

  prepareLoad(saved: OptimizerStateDict, options: LoadOptions = {}): Promise<PreparedLoad> {
    return this.#reading("prepareLoad", () => prepareOptimizerState(this.#state, this.rule, saved, options));
  }

  createLossScaler(options: LossScale): LossScaler {
    this.#guard("createLossScaler");
    return this.#engine.createLossScaler(resolveLossScale(options));
  }

  readGradients(): Promise<NamedTensors> {
    return this.#reading("readGradients", () => {
      this.#gradientsReadAt = this.#gradientChanges;
      const pending = this.#state.parameters.filter((parameter) => parameter.pending);
      return named(pending, this.#engine.read(pending.map((parameter) => parameter.accumulator as V)));
    });
  }

  writeGradients(gradients: NamedTensors): void {
    this.#guard("writeGradients");
    if (this.#gradientsReadAt !== undefined && this.#gradientsReadAt !== this.#gradientChanges) {
      throw new OptimError("gradients-changed", "writeGradients", {
        expected: "no backward, step or zeroGrad since readGradients()",
        hint: "Read them again, and write before going on",
      });
    }
    const writes = this.#tensors(gradients, "writeGradients");
    for (const [parameter] of writes) parameter.accumulator ??= this.#engine.allocate(parameter, 0);
    for (const [parameter, data] of writes) {
      this.#engine.write(parameter.accumulator as V, data);
      parameter.pending = true;
    }
    this.#gradientsReadAt = undefined;
    this.#state.gradientsChanged();
  }

  readParameters(): Promise<NamedTensors> {
    return this.#reading("readParameters", () =>
      named(this.#state.parameters, this.#engine.readParameters(this.#state.parameters)),
    );
  }

  writeParameters(parameters: NamedTensors): void {
    this.#guard("writeParameters");
    for (const [parameter, data] of this.#tensors(parameters, "writeParameters"))
      this.#engine.writeParameter(parameter, data);
  }

  dispose(): void {
    const state = this.#state;
    if (state.disposed) return;
    if (this.#insideLoss) this.#guard("dispose");
    state.disposed = true;
    for (const parameter of state.parameters) {
      if (parameter.accumulator !== undefined) this.#engine.release(parameter.accumulator);
      for (const slot of parameter.slots.values()) this.#engine.release(slot);
      parameter.accumulator = undefined;
      parameter.pending = false;
      parameter.slots.clear();
    }
    this.#items.clear();
    this.#engine.dispose?.();
  }

  #guard(call: string): void {
    if (this.#state.disposed) {
      throw new OptimError("disposed", `${this.backend} optimizer: ${call}`, {
        expected: "an optimizer that was not disposed",
      });
    }
    if (this.#insideLoss) {
      throw new OptimError("reentrant", `${this.backend} optimizer: ${call}`, {
        expected: "no call from the optimizer's own loss closure",
      });
    }
  }

  /** Refusals of asynchronous calls are rejections. What `read` does before its first await happens at the call. */
  async #reading<T>(call: string, read: () => Promise<T>): Promise<T> {
    this.#guard(call);
    return read();
  }

  #isFrozen(parameter: Parameter<P, V, S>): boolean {
    return parameter.frozen || this.#engine.isFrozen?.(parameter.value) === true;
  }

  #scaler(lossScaler: LossScaler | undefined): EngineLossScaler<S> | undefined {
    if (lossScaler === undefined || lossScaler.backend === this.backend)
      return lossScaler as EngineLossScaler<S> | undefined;
    throw new OptimError("invalid-option", `${this.backend} optimizer: lossScaler`, {
      expected: `a loss scaler made by a ${this.backend} optimizer`,
      received: lossScaler.backend,
    });
  }

  #item(parameter: Parameter<P, V, S>, rewrite: GradientRewrite): StepItem<P, V, S> {
    const key = `${rewrite.clipValue} ${rewrite.zeroNonFinite}`;
    const items = memo(this.#items, parameter, () => new Map<string, CachedItem<P, V, S>>());
    let item = items.get(key);
    if (item === undefined || item.version !== parameter.group.version) {
      const program = parameter.group.program(rewrite);
      this.#engine.prepareProgram?.(program);
      this.#ensureSlots(parameter);
      const slots = program.slots.map((slot) => parameter.slots.get(slot) as V);
      item = { parameter, program, slots, version: parameter.group.version };
      items.set(key, item);
    }
    return item;
  }

  #ensureSlots(parameter: Parameter<P, V, S>): void {
    const { slots, scalarSlots } = parameter.group.initialSlots();
    for (const [name, initial] of slots) {
      if (!parameter.slots.has(name)) parameter.slots.set(name, this.#engine.allocate(parameter, initial));
    }
    for (const [name, initial] of scalarSlots) {
      if (!parameter.scalarSlots.has(name)) parameter.scalarSlots.set(name, this.#engine.scalar(initial));
    }
  }

  #named(names: readonly string[], call: string): Parameter<P, V, S>[] {
    this.#guard(call);
    return names.map((name) => this.#parameter(name, call));
  }

  #parameter(name: string, call: string): Parameter<P, V, S> {
    const parameter = this.#byName.get(name);
    if (parameter !== undefined) return parameter;
    throw new OptimError("unknown-parameter", `${this.backend} optimizer: ${call}`, {
      expected: `one of ${[...this.#byName.keys()].join(", ")}`,
      received: name,
    });
  }

  #tensors(tensors: NamedTensors, call: string): (readonly [Parameter<P, V, S>, Float32Array])[] {
    return Object.entries(tensors).map(([name, data]) => {
      const parameter = this.#parameter(name, call);
      if (data instanceof Float32Array && data.length === parameter.length) return [parameter, data];
      throw new OptimError(
        "invalid-parameter",
        `${this.backend} optimizer: ${call}: ${JSON.stringify(name)}`,
        {
          expected: `a Float32Array of ${parameter.length}`,
          received: data,
        },
      );
    });
  }
}

const plain: GradientRewrite = { clipValue: false, zeroNonFinite: false };

function checkRoom(who: string, room: number, definition: ErasedDefinition, structure: Flags): void {
  const needed = Object.keys(definition.slots?.(structure) ?? {}).length;
  if (needed <= room) return;
  throw new OptimError("arena-full", `${who}: ${definition.name}`, {
    expected: `at most ${room} slots per parameter`,
    received: needed,
    hint: "Make the arena with a larger `slots`",
  });
}

async function named(
  parameters: readonly { readonly name: string }[],
  reading: Promise<readonly Float32Array[]>,
): Promise<NamedTensors> {
  const tensors = await reading;
  const record = Object.create(null) as Record<string, Float32Array>;
  for (const [index, { name }] of parameters.entries()) record[name] = tensors[index] as Float32Array;
  return record;
}
