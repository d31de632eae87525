import {
  type AddedParamGroup,
  type BaseHyperparameters,
  type Capabilities,
  createOptimWrapper,
  type NamedTensors,
  type OptimizerStateDict,
  type Optimizer,
  type OptimWrapper,
  type OptimWrapperOptions,
  type SlotDtype,
  type SlotOptions,
} from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { sgd } from "@mm/optim-rules";
import {
  defaultTolerance,
  type LinearTerm,
  type LossClosure,
  type OptimizerFactory,
  type Tolerance,
} from "../factory.ts";
import { referenceFactory } from "../reference.ts";
import { type Allowed, expectNumbers, expectTensors, type Values } from "./assert.ts";

/** A factory whose types are forgotten: tests only pass its values back to it. */
export type AnyFactory = OptimizerFactory<unknown, LossClosure, unknown>;

/** One test of the kit. */
export interface KitTest {
  /** `"stage: what holds"` */
  readonly name: string;
  /** Capabilities without which it is skipped. */
  readonly needs?: readonly BooleanCapability[];
  /** Skipped where slots cannot be kept so. */
  readonly slotDtype?: SlotDtype;
  readonly run: (kit: Kit) => void | Promise<void>;
}

type BooleanCapability = {
  [K in keyof Capabilities]-?: Capabilities[K] extends boolean ? K : never;
}[keyof Capabilities];

/** The initial value of a parameter; a list is one-dimensional. */
export type Initial =
  ArrayLike<number> | { readonly shape: readonly number[]; readonly values: ArrayLike<number> };
export type Initials = { readonly [name: string]: Initial };
export type GroupOf<H> = {
  readonly name?: string;
  readonly params: Initials;
  readonly shapes?: { readonly [name: string]: readonly number[] };
  readonly rule?: UpdateRule;
} & Partial<Readonly<H>>;

/** Gradients by name; a parameter without an entry does not occur in the loss. */
export type Gradients = Values;

/** Plain gradient descent, the rule of tests that are about something else: it needs no capability. */
export function descent(lr = 1): UpdateRule {
  return sgd({ lr });
}

/** An optimizer of the backend under test, or of the reference, with its parameters. */
export class Subject<H extends BaseHyperparameters = BaseHyperparameters> {
  readonly optimizer: Optimizer<LossClosure, unknown, H>;
  readonly parameters: Map<string, unknown>;
  readonly #factory: AnyFactory;

  constructor(
    factory: AnyFactory,
    optimizer: Optimizer<LossClosure, unknown, H>,
    parameters: ReadonlyMap<string, unknown>,
  ) {
    this.#factory = factory;
    this.optimizer = optimizer;
    this.parameters = new Map(parameters);
  }

  /** A group that joins later. */
  add(group: AddedParamGroup<H>): void {
    this.optimizer.addParamGroup(group);
    for (const [name, parameter] of Object.entries(group.params)) this.parameters.set(name, parameter);
  }

  loss(gradients: Gradients): LossClosure {
    const terms = Object.entries(gradients).map(([name, gradient]): LinearTerm<unknown> => ({
      name,
      parameter: this.parameters.get(name),
      // An array that a test holds on to is passed as it is.
      gradient: gradient instanceof Float32Array ? gradient : Float32Array.from(gradient),
    }));
    return this.#factory.linearLoss(terms);
  }

  backward(
    gradients: Gradients,
    options?: Parameters<Optimizer<LossClosure, unknown, H>["backward"]>[1],
  ): void {
    this.optimizer.backward(this.loss(gradients), options);
  }

  /** One whole step with these gradients. */
  train(gradients: Gradients, options?: Parameters<Optimizer<LossClosure, unknown, H>["step"]>[0]): void {
    const { lossScaler } = options ?? {};
    if (Object.keys(gradients).length > 0) this.backward(gradients, { lossScaler });
    this.optimizer.step(options);
    this.optimizer.zeroGrad();
  }

  async read(): Promise<NamedTensors> {
    if (this.optimizer.capabilities.transfer || this.#factory.readParameter === undefined) {
      return this.optimizer.readParameters();
    }
    const read: [name: string, values: Float32Array][] = [];
    for (const [name, parameter] of this.parameters)
      read.push([name, await this.#factory.readParameter(parameter)]);
    return Object.fromEntries(read);
  }
}

/** A subject in a wrapper. */
export class WrappedSubject<H extends BaseHyperparameters = BaseHyperparameters> extends Subject<H> {
  readonly wrapper: OptimWrapper<LossClosure, unknown, H>;

  constructor(factory: AnyFactory, subject: Subject<H>, options: OptimWrapperOptions) {
    super(factory, subject.optimizer, subject.parameters);
    this.wrapper = createOptimWrapper(subject.optimizer, options);
  }

  /** One micro-batch. */
  update(gradients: Gradients): boolean {
    return this.wrapper.updateParams(this.loss(gradients)).updated;
  }
}

/** The argument of a test: makes optimizers, compares what they did, and cleans up after it. */
export class Kit {
  readonly factory: AnyFactory;
  readonly #cleanup: (() => void)[] = [];
  readonly #capabilities: Capabilities | undefined;

  constructor(factory: AnyFactory, capabilities?: Capabilities) {
    this.factory = factory;
    this.#capabilities = capabilities;
  }

  /** The backend's, as one of its optimizers has them. */
  get capabilities(): Capabilities {
    return this.#capabilities ?? this.subject(descent(), { w: [0] }).optimizer.capabilities;
  }

  /** An optimizer of the backend under test. Disposed after the test. */
  subject<H extends BaseHyperparameters>(
    rule: UpdateRule<H>,
    initials: Initials | readonly GroupOf<H>[],
    options?: SlotOptions,
  ): Subject<H> {
    return this.#make(this.factory, rule, initials, options);
  }

  wrapped<H extends BaseHyperparameters>(
    rule: UpdateRule<H>,
    initials: Initials | readonly GroupOf<H>[],
    options: OptimWrapperOptions = {},
  ): WrappedSubject<H> {
    const wrapped = new WrappedSubject(this.factory, this.subject(rule, initials), options);
    this.#cleanup.push(() => wrapped.wrapper.dispose());
    return wrapped;
  }

  /** The same optimizer of the reference backend, with the shapes that the backend under test reports. */
  reference<H extends BaseHyperparameters>(
    subject: Subject<H>,
    rule: UpdateRule<H>,
    initials: Initials | readonly GroupOf<H>[],
  ): Subject<H> {
    const shapes = new Map(subject.optimizer.parameters.map(({ name, shape }) => [name, shape]));
    const shaped = (values: Initials): Initials =>
      Object.fromEntries(
        Object.entries(values).map(([name, initial]) => [
          name,
          { shape: shapes.get(name) ?? [], values: valuesOf(initial) },
        ]),
      );
    const groups = isGroups(initials)
      ? initials.map((group) => ({ ...group, params: shaped(group.params) }))
      : shaped(initials);
    return this.#make(referenceFactory() as unknown as AnyFactory, rule, groups);
  }

  /** A parameter of the backend under test, freed after the test. */
  parameter(initial: Initial): unknown {
    return this.#parameter(this.factory, initial);
  }

  /** Another optimizer over the same parameters. */
  over<H extends BaseHyperparameters>(rule: UpdateRule<H>, { parameters }: Subject): Subject<H> {
    const optimizer = this.factory.createOptimizer(rule, Object.fromEntries(parameters));
    this.#cleanup.push(() => optimizer.dispose());
    return new Subject(this.factory, optimizer, parameters);
  }

  /** Runs something when the test has ended. */
  afterwards(run: () => void): void {
    this.#cleanup.push(run);
  }

  /** Numbers that follow from arithmetic. */
  get tolerance(): Tolerance {
    const { tolerance } = this.factory;
    return tolerance === undefined || tolerance === "exact" ? defaultTolerance : tolerance;
  }

  /** Numbers of the reference backend. */
  get referenceTolerance(): Allowed {
    return this.factory.tolerance ?? defaultTolerance;
  }

  async expectParameters(stage: string, subject: Subject, expected: Values): Promise<void> {
    expectTensors(stage, await subject.read(), expected, this.tolerance);
  }

  async expectReference(stage: string, subject: Subject, reference: Subject): Promise<void> {
    expectTensors(stage, await subject.read(), await reference.read(), this.referenceTolerance);
  }

  /** Slots may be of any magnitude: they are compared relative to the largest of their tensor. */
  expectState(stage: string, received: OptimizerStateDict, expected: OptimizerStateDict): void {
    for (const [index, parameter] of expected.params.entries()) {
      const ours = received.params[index] as typeof parameter;
      const where = `${stage}: ${parameter.name}`;
      if (ours.step !== parameter.step)
        throw new Error(`${where}.step expected ${parameter.step}, got ${ours.step}`);
      for (const [slot, values] of Object.entries(parameter.slots)) {
        expectNumbers(`${where}.${slot}`, ours.slots[slot] ?? [], values, this.#ofSlots(values));
      }
      for (const [slot, value] of Object.entries(parameter.scalarSlots)) {
        const tolerance = this.referenceTolerance === "exact" ? "exact" : this.#ofSlots([value]);
        expectNumbers(
          `${where}.${slot}`,
          [Math.fround(ours.scalarSlots[slot] ?? Number.NaN)],
          [value],
          tolerance,
        );
      }
    }
  }

  dispose(): void {
    // The last object goes first: optimizers before their parameters.
    for (const run of this.#cleanup.splice(0).reverse()) run();
  }

  #ofSlots(values: ArrayLike<number>): Allowed {
    const tolerance = this.referenceTolerance;
    if (tolerance === "exact") return tolerance;
    const largest = Array.from(values)
      .filter(Number.isFinite)
      .reduce((size, value) => Math.max(size, Math.abs(value)), 0);
    return { absolute: 0.1 * tolerance.relative * largest, relative: tolerance.relative };
  }

  #make<H extends BaseHyperparameters>(
    factory: AnyFactory,
    rule: UpdateRule<H>,
    initials: Initials | readonly GroupOf<H>[],
    options?: SlotOptions,
  ): Subject<H> {
    const made = new Map<string, unknown>();
    const create = (values: Initials): Record<string, unknown> =>
      Object.fromEntries(
        Object.entries(values).map(([name, initial]) => {
          const parameter = this.#parameter(factory, initial);
          made.set(name, parameter);
          return [name, parameter];
        }),
      );
    const written = isGroups(initials)
      ? initials.map((group) => ({ ...group, params: create(group.params) }))
      : create(initials);
    const optimizer =
      options === undefined
        ? factory.createOptimizer(rule, written)
        : factory.createOptimizer(rule, written, options);
    this.#cleanup.push(() => optimizer.dispose());
    return new Subject(factory, optimizer, made);
  }

  #parameter(factory: AnyFactory, initial: Initial): unknown {
    const values = Float32Array.from(valuesOf(initial));
    const parameter = factory.createParameter(values, isShaped(initial) ? initial.shape : [values.length]);
    this.#cleanup.push(() => factory.disposeParameter?.(parameter));
    return parameter;
  }
}

function isShaped(initial: Initial): initial is Exclude<Initial, ArrayLike<number>> {
  return "values" in initial && "shape" in initial;
}

function valuesOf(initial: Initial): ArrayLike<number> {
  return isShaped(initial) ? initial.values : initial;
}

function isGroups<H>(initials: Initials | readonly GroupOf<H>[]): initials is readonly GroupOf<H>[] {
  return Array.isArray(initials);
}
