import {
  isOptimError,
  type OptimWrapperStateDict,
  type PreparedLoad,
  type RestoreOptions,
} from "@mm/optim-core";
import type { AnyFactory } from "../../src/kit/kit.ts";
import { type Call, initials, late, type Meanwhile, names, type Sequence } from "./calls.ts";
import { Trained } from "./trained.ts";
import {
  type Closure,
  momentum,
  type ModelOptions,
  type Outcome,
  type Saved as ModelState,
  WrapperModel,
} from "./wrapper-model.ts";

/** Plain data that a side shows after a call. */
type Shown = { readonly [what: string]: unknown };

type Pair = readonly [received: Shown, expected: Shown];

interface Saved {
  /** As of its call, whatever is trained before it arrives. */
  readonly state: Promise<OptimWrapperStateDict>;
  readonly model: ModelState;
}

interface Staged {
  readonly load: PreparedLoad;
  readonly saved: Saved;
  readonly restore: RestoreOptions;
}

/** A wrapper and the model of it, which are given the same calls. */
export class Beside {
  readonly #homes: readonly [AnyFactory, AnyFactory];
  readonly #options: ModelOptions;
  readonly #model: WrapperModel;
  /** Allocations of both backends, before there was anything. */
  readonly #alive: readonly number[];
  #home: 0 | 1 = 0;
  #trained: Trained;
  /** The last state that was saved. */
  #saved: Saved | undefined;
  /** All that was saved. */
  readonly #reads: Promise<unknown>[] = [];
  #staged: Staged | undefined;

  /** Every other `move` goes to the second backend, and back. */
  constructor(homes: readonly [AnyFactory, AnyFactory], options: ModelOptions) {
    this.#homes = homes;
    this.#options = options;
    this.#alive = this.#allocations;
    this.#trained = new Trained(homes[0], options, initials);
    this.#model = new WrapperModel(options, initials, this.#decides);
  }

  get #allocations(): readonly number[] {
    return this.#homes.map((home) => home.liveAllocations());
  }

  get #decides(): "host" | "device" {
    return this.#trained.wrapper.optimizer.capabilities.decides;
  }

  /** Makes one call on both sides. @returns what differs after it, in words */
  async make(made: Exclude<Call, { readonly call: "save" }>): Promise<string | undefined> {
    const [received, expected] = await this.#call(made);
    this.#trained.update();
    const [ours, theirs] = [this.#countsOfWrapper(), this.#countsOfModel()];
    return firstDifference({ ...received, ...ours }, { ...expected, ...theirs });
  }

  /**
   * Begins to save, and does not wait: what is called next may not change what was saved.
   *
   * @returns a promise of what differs, where a read is refused
   */
  save(pending: boolean): Promise<string | undefined> | undefined {
    const model = this.#model;
    const refused = model.takeError();
    const state = this.#trained.wrapper.stateDict({ pending });
    if (refused !== undefined) {
      return outcomeOfRead(() => state).then((outcome) => firstDifference({ outcome }, { outcome: refused }));
    }
    state.catch(() => {});
    this.#reads.push(state);
    this.#saved = { state, model: model.save(pending) };
    return undefined;
  }

  /** Compares all that training has left, and ends the wrapper. */
  async end(): Promise<string | undefined> {
    const { wrapper } = this.#trained;
    const model = this.#model;
    // The first may tell of a step that a device refused, the second may not.
    for (const attempt of [1, 2]) {
      const differs = firstDifference(...(await this.#readMetrics()));
      if (differs !== undefined) return `read ${attempt}: ${differs}`;
    }
    const { contents } = model;
    const parameters = await wrapper.optimizer.readParameters();
    const { params, pendingScale = 1 } = (await wrapper.stateDict()).optimizer;
    const taken = params.map(({ name, step }) => [name, step]);
    const pending = params.flatMap(({ name, gradient }) =>
      gradient === undefined ? [] : [[name, gradient.map((value) => value / pendingScale)] as const],
    );
    await Promise.all(this.#reads);
    this.#cancel();
    this.#trained.dispose();
    return firstDifference(
      {
        ...parameters,
        taken: Object.fromEntries(taken),
        pending: Object.fromEntries(pending),
        // There may be fewer: a read of somebody who came before has ended.
        leaked: this.#allocations.map((alive, index) => Math.max(0, alive - (this.#alive[index] ?? 0))),
        disposed: outcomeOf(() => wrapper.updateParams(this.#trained.loss({ a: [1, 1] }))),
      },
      {
        ...contents.parameters,
        taken: Object.fromEntries(params.map(({ name }) => [name, contents.taken[name] ?? 0])),
        pending: contents.sums,
        leaked: [0, 0],
        disposed: "refused: disposed",
      },
    );
  }

  dispose(): void {
    this.#trained.dispose();
  }

  #call(made: Parameters<Beside["make"]>[0]): Pair | Promise<Pair> {
    const model = this.#model;
    const { wrapper } = this.#trained;
    const both = (run: () => unknown, expected: Outcome): Pair => [
      { outcome: outcomeOf(run) },
      { outcome: expected },
    ];
    switch (made.call) {
      case "updateParams":
      case "backward":
        return this.#differentiate(made);
      case "step":
        return both(() => wrapper.step({ rescale: made.rescale }), model.step(made.rescale));
      case "skip":
        return both(() => wrapper.skip(), model.skip());
      case "flush":
        return both(() => wrapper.flush(), model.flush());
      case "zeroGrad":
        wrapper.zeroGrad();
        model.zeroGrad();
        return [{}, {}];
      case "evaluating":
        return this.#evaluate(made.meanwhile);
      case "lossFactor":
        return [valueOf(() => wrapper.lossFactor()), model.lossFactor()];
      case "readMetrics":
        return this.#readMetrics();
      case "optimContext":
        return [valueOf(() => wrapper.optimContext(() => contexts[made.run]())), afterContext[made.run]];
      case "accumulativeCounts":
        wrapper.accumulativeCounts = model.accumulativeCounts = made.counts;
        return [{}, {}];
      case "lr":
        wrapper.paramGroups[0].lr = made.lr;
        Object.assign(model.contents.lr, { a: made.lr, b: made.lr });
        return [{}, {}];
      case "addParamGroup":
        return this.#addParamGroup();
      case "initializeCountStatus": {
        const { call: _, ...status } = made;
        return both(
          () => wrapper.initializeCountStatus(status),
          model.announce(made.initCounts, made.maxCounts),
        );
      }
      case "freeze":
      case "unfreeze":
        wrapper[made.call](made.names);
        model.contents.frozen = names.filter((name) =>
          made.names.includes(name) ? made.call === "freeze" : model.contents.frozen.includes(name),
        );
        return [{}, {}];
      case "loadStateDict":
      case "prepareLoad":
        return this.#load(made);
      // Training since the load was prepared is overwritten.
      case "commit":
        this.#commit();
        return [{}, {}];
      case "cancel":
        this.#cancel();
        return [{}, {}];
      case "move":
      default:
        return this.#move(made.precision);
    }
  }

  async #differentiate(made: Call & { readonly call: "updateParams" | "backward" }): Promise<Pair> {
    const { wrapper, factory } = this.#trained;
    const model = this.#model;
    const { returnLoss, inContext } = made;
    const closure = present(made.closure, model);
    const expectedLoss = typeof closure === "string" ? Number.NaN : model.lossOf(closure);
    // On some backends it is `undefined`, and there all the same.
    let returned: { readonly loss?: unknown } = {};
    const run = (): unknown => {
      const result =
        made.call === "backward"
          ? wrapper.backward(this.#trained.loss(closure), { scale: made.scale, returnLoss })
          : wrapper.updateParams(this.#trained.loss(closure), { weight: made.weight, returnLoss });
      returned = result;
      return result;
    };
    const received = outcomeOf(() => (inContext ? wrapper.optimContext(run) : run()));
    const expected =
      made.call === "backward"
        ? model.backward(closure, made.scale, returnLoss)
        : model.updateParams(closure, made.weight, returnLoss);
    const value = "loss" in returned ? await factory.readLoss(returned.loss) : undefined;
    // Where a call throws, nobody gets the loss.
    const ends = returnLoss && (expected === "updated" || expected === "not updated");
    return [
      { outcome: received, loss: value },
      {
        outcome: expected,
        loss: ends ? (Number.isFinite(expectedLoss) ? expectedLoss : notFinite) : undefined,
      },
    ];
  }

  async #evaluate(meanwhile: Meanwhile): Promise<Pair> {
    const { wrapper } = this.#trained;
    let inside: Shown = {};
    const outcome = await outcomeOfRead(() =>
      wrapper.evaluating(async () => {
        const refused = await outcomeOfRead(async () => this.#trained.attempt(meanwhile));
        inside = { meanwhile: refused, ...(await wrapper.optimizer.readParameters()) };
      }),
    );
    const received = { outcome, ...inside };
    if (this.#staged !== undefined) return [received, { outcome: "refused: load-pending" }];
    return [received, { outcome: "not updated", meanwhile: "refused: evaluating", ...this.#model.points }];
  }

  #addParamGroup(): Pair {
    const model = this.#model;
    if (late.name in model.contents.parameters) return [{}, {}];
    const isStaged = this.#staged !== undefined;
    const received = outcomeOf(() => this.#trained.addLate());
    if (!isStaged) model.add(late.name, late.initial, late.lr);
    return [{ outcome: received }, { outcome: isStaged ? "refused: load-pending" : "not updated" }];
  }

  async #readMetrics(): Promise<Pair> {
    const model = this.#model;
    const refused = model.takeError();
    const received: { metrics?: Shown } = {};
    const outcome = await outcomeOfRead(async () => {
      const { gradNorms, ...metrics } = await this.#trained.wrapper.readMetrics({ per: "parameter" });
      received.metrics = { ...metrics, ...normsOf(gradNorms) };
    });
    if (refused !== undefined) return [{ outcome }, { outcome: refused }];
    const { steps, skipped, lossScale } = model.contents;
    const gradNorm = model.gradNorm === "unknown" ? received.metrics?.["gradNorm"] : model.gradNorm;
    return [
      { outcome, ...received.metrics },
      {
        outcome: "not updated",
        steps,
        skipped,
        lossScale,
        ...(gradNorm !== undefined && { gradNorm: shownNorm(gradNorm as number) }),
        ...normsOf(model.gradNorms, shownNorm),
      },
    ];
  }

  async #load(made: Call & { readonly call: "loadStateDict" | "prepareLoad" }): Promise<Pair> {
    const model = this.#model;
    const { wrapper } = this.#trained;
    const { restore } = made;
    const saved = this.#saved;
    if (saved === undefined) return [{}, {}];
    const state = await saved.state;
    const fits: Outcome = model.fits(saved.model) ? "not updated" : "refused: state-mismatch";
    const expected: Outcome = this.#staged === undefined ? fits : "refused: load-pending";
    let received: Outcome;
    if (made.call === "loadStateDict") {
      received = await outcomeOfRead(() => wrapper.loadStateDict(state, { restore }));
      if (received === "not updated") model.load(saved.model, restore);
    } else {
      received = outcomeOf(() => {
        this.#staged = { load: wrapper.prepareLoad(state, { restore }), saved, restore };
      });
    }
    return [{ outcome: received }, { outcome: expected }];
  }

  #commit(): void {
    if (this.#staged === undefined) return;
    this.#staged.load.commit();
    this.#model.load(this.#staged.saved.model, this.#staged.restore);
    this.#staged = undefined;
  }

  #cancel(): void {
    this.#staged?.load.dispose();
    this.#staged = undefined;
  }

  /** Goes on elsewhere with the state and the parameters, and perhaps with another loss scale. */
  async #move(precision: ModelOptions["precision"] | undefined): Promise<Pair> {
    const model = this.#model;
    const refused = model.takeError();
    if (refused !== undefined) {
      const outcome = await outcomeOfRead(() => this.#trained.wrapper.stateDict());
      return [{ outcome }, { outcome: refused }];
    }
    const state = await this.#trained.wrapper.stateDict();
    const values = await this.#trained.wrapper.optimizer.readParameters();
    this.#cancel();
    this.#trained.dispose();
    this.#home = this.#home === 0 ? 1 : 0;
    if (precision !== undefined) model.changePrecision(precision);
    this.#trained = new Trained(
      this.#homes[this.#home],
      { ...this.#options, precision: model.precision, maxCounts: model.announced },
      values,
    );
    this.#trained.wrapper.accumulativeCounts = model.accumulativeCounts;
    this.#trained.wrapper.prepareLoad(state).commit();
    model.moved(this.#decides);
    return [{}, {}];
  }

  #countsOfWrapper(): Shown {
    const { wrapper } = this.#trained;
    return {
      innerCount: wrapper.innerCount,
      shouldUpdate: wrapper.shouldUpdate(),
      shouldSync: wrapper.shouldSync(),
      accumulativeCounts: wrapper.accumulativeCounts,
      frozen: wrapper.optimizer.frozen,
      ...wrapper.getLr(),
      ...wrapper.getMomentum(),
    };
  }

  #countsOfModel(): Shown {
    const { contents, isBoundary, syncs, accumulativeCounts } = this.#model;
    const isLate = late.name in contents.parameters;
    return {
      innerCount: contents.innerCount,
      shouldUpdate: isBoundary,
      shouldSync: syncs,
      accumulativeCounts,
      frozen: contents.frozen,
      lr: [contents.lr["a"], ...(isLate ? [contents.lr[late.name]] : [])],
      ...(isLate && { baseLr: [0.5] }),
      momentum: isLate ? [momentum, momentum] : [momentum],
    };
  }
}

const contexts = {
  returns: (): unknown => 7,
  throws: (): unknown => {
    throw new Error("of the context's own");
  },
  promises: (): unknown => Promise.resolve(7),
};
const afterContext: { readonly [run in keyof typeof contexts]: Shown } = {
  returns: { value: 7 },
  throws: { value: "threw" },
  promises: { value: "refused: invalid-option" },
};

/** A closure without the gradients of parameters that are not there yet. */
function present(closure: Closure, { contents }: WrapperModel): Closure {
  if (typeof closure === "string") return closure;
  return Object.fromEntries(Object.entries(closure).filter(([name]) => name in contents.parameters));
}

function outcomeOf(run: () => unknown): Outcome {
  try {
    const result = run() as { readonly updated?: boolean } | undefined;
    return result?.updated === true ? "updated" : "not updated";
  } catch (error) {
    return errorOf(error);
  }
}

async function outcomeOfRead(run: () => Promise<unknown>): Promise<Outcome> {
  try {
    await run();
    return "not updated";
  } catch (error) {
    return errorOf(error);
  }
}

const errorOf = (error: unknown): Outcome => (isOptimError(error) ? `refused: ${error.code}` : "threw");

function valueOf(run: () => unknown): Shown {
  try {
    return { value: run() };
  } catch (error) {
    return { value: errorOf(error) };
  }
}

function firstDifference(received: Shown, expected: Shown): string | undefined {
  for (const what of new Set([...Object.keys(received), ...Object.keys(expected)])) {
    if (!same(received[what], expected[what]))
      return `${what} expected ${show(expected[what])}, got ${show(received[what])}`;
  }
  return undefined;
}

/** Stands for every number that is not finite. */
const notFinite = Symbol("a number that is not finite");

/** float32 rounds a few dozen times by 6e-8; a micro-batch that is lost or counted twice is off by a hundredth at least. */
function same(received: unknown, expected: unknown): boolean {
  if (expected === notFinite) return typeof received === "number" && !Number.isFinite(received);
  if (Object.is(received, expected)) return true;
  if (typeof received === "number" && typeof expected === "number")
    return Math.abs(received - expected) <= 1e-4 + 1e-5 * Math.abs(expected);
  if (Object(received) !== received || Object(expected) !== expected) return false;
  const [ours, theirs] = [received, expected] as readonly [Shown, Shown];
  return (
    Object.keys(ours).length === Object.keys(theirs).length &&
    Object.keys(theirs).every((name) => same(ours[name], theirs[name]))
  );
}

const show = (value: unknown): string =>
  typeof value === "symbol" ? (value.description ?? "") : JSON.stringify(value ?? null);

/** Runs the calls on both. @returns where they part first, in words */
export async function difference(
  homes: readonly [AnyFactory, AnyFactory],
  { options, calls }: Sequence,
): Promise<string | undefined> {
  const beside = new Beside(homes, options);
  try {
    for (const [index, made] of calls.entries()) {
      const found = made.call === "save" ? beside.save(made.pending) : await beside.make(made);
      const told = found === undefined ? undefined : await found;
      if (told !== undefined) return `calls[${index}], ${made.call}: ${told}`;
    }
    const found = await beside.end();
    return found === undefined ? undefined : `at the end: ${found}`;
  } finally {
    beside.dispose();
  }
}

/** Of a sum that overflows it is a matter of order which number comes. */
const shownNorm = (norm: number): number | typeof notFinite => (Number.isFinite(norm) ? norm : notFinite);

const normsOf = <T = number>(
  norms: { readonly [name: string]: number } = {},
  shown: (norm: number) => T | number = (norm) => norm,
): { readonly [name: string]: T | number } =>
  Object.fromEntries(Object.entries(norms).map(([name, norm]) => [`norm of ${name}`, shown(norm)]));
