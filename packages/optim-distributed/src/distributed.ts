import {
  type AnyOptimizer,
  type LoadOptions,
  OptimError,
  type OptimizerStateDict,
  type StepOptions,
} from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { agreeSync, type Aspects } from "./agreement.ts";
import { type ArenaMessage, arenaMessage, layoutOfGradients } from "./arena-message.ts";
import { aspectsOfGroup, aspectsOfOptimizer, aspectsOfStep } from "./aspects.ts";
import { type Communicator, requireCommunicator } from "./communicator.ts";
import { isLossy } from "./compressed.ts";
import { requireOptimizer } from "./require-optimizer.ts";
import { WindowMessage } from "./window-message.ts";

const who = "distributed";

/**
 * An optimizer whose step is that of all ranks: at the end of a window the gradients and weights of all ranks are summed, and every rank
 * takes the same step, as one process would on the whole batch. Wrapper, dict, schedules, state and configurations are used as ever.
 *
 * ```ts
 * const optim = createOptimWrapper(distributed(wasmOptimizer(adamw(), parameters), communicator), { accumulativeCounts: 2 });
 * optim.updateParams(() => loss(mine), { weight: mine.length });
 * ```
 *
 * Collective: every rank makes its optimizers in the same order, and ends as many windows. A rank without data calls `wrapper.skip()`. A
 * parameter that has a gradient on any rank steps on all; a gradient that is not finite on one rank skips the step on all, where a loss scaler
 * or `onNonFinite` would skip it. A window in which no rank has weight steps nowhere.
 *
 * Parameters start equal only if the program makes them so: `broadcastState`. Optimizer state is whole on every rank.
 *
 * Cost: one all-reduce a window of 4 bytes for each element of the parameters, and 4 (1 + n) for the weight and n parameters. Gradients of an
 * optimizer on a whole arena of `@mm/optim-wasm` are summed where they are; others are copied into one buffer and back. From the step to
 * `zeroGrad()` the gradients of the optimizer are those of all ranks; after a sum that failed they are undefined.
 *
 * The optimizer that is returned owns the one that was given, and a duplicate of the communicator; `dispose()` ends both. `stateDict()` refuses
 * to save the gradients of a window in progress, which are those of one rank.
 *
 * @throws OptimError `unsupported` for a communicator that cannot wait and for a backend whose device must be waited for (both: use
 * `dataParallel`), `communication-mismatch` when ranks hold other optimizers, `invalid-option`, and what the communicator throws
 */
export function distributed<O extends AnyOptimizer>(optimizer: O, communicator: Communicator): O {
  requireOptimizer(optimizer, who);
  requireCommunicator(communicator, who);
  requireWaiting(optimizer, communicator);
  // Before the duplicate, which ranks that do other things would not make.
  const aspects = (): Aspects => ({
    ...aspectsOfOptimizer(optimizer),
    "layout of gradients (all of one arena, or copies)": layoutOfGradients(optimizer),
  });
  agreeAll(communicator, aspects());
  const ours = communicator.duplicate();
  let message: WindowMessage | undefined;
  let inPlace: ArenaMessage | undefined;
  let agreedOnStep = false;
  /** Whether gradients of this rank alone are pending. */
  let open = false;

  const reduceCopies = (weight: number): number => {
    message ??= new WindowMessage(optimizer.parameters);
    message.fill(optimizer.readGradientsSync?.() ?? {}, weight);
    sumSync(ours, message);
    if (message.weight !== 0) optimizer.writeGradients(message.present());
    return message.weight;
  };
  const reduceInPlace = (arena: ArenaMessage, weight: number): number => {
    arena.fill(weight);
    sumSync(ours, arena);
    const foreign = arena.takeForeign();
    if (foreign !== undefined && arena.weight !== 0) {
      // A write has to know what was there.
      optimizer.readGradientsSync?.();
      optimizer.writeGradients(foreign);
    }
    return arena.weight;
  };
  /** Sums the window of all ranks. @returns its weight */
  const reduce = (weight: number): number => {
    inPlace = arenaMessage(optimizer, inPlace);
    return inPlace === undefined ? reduceCopies(weight) : reduceInPlace(inPlace, weight);
  };

  const overrides = {
    step(options: StepOptions = {}): boolean {
      optimizer.guard("step");
      const { rescale = 1, weight = 1, ...settings } = options;
      if (!(rescale > 0)) refuse("invalid-option", `${who}: step: rescale`, "a positive number", rescale);
      if (!agreedOnStep) agreeAll(ours, aspectsOfStep(settings));
      agreedOnStep = true;
      // By hand a rank divides by its weight with `rescale`; the sum over all ranks is divided by the sum of their weights.
      const total = reduce(weight / rescale);
      open = false;
      return total !== 0 && optimizer.step({ ...settings, weight: total });
    },
    backward: ((loss, options) => {
      const value = optimizer.backward(loss, options);
      open = true;
      return value;
    }) as AnyOptimizer["backward"],
    zeroGrad(): void {
      optimizer.zeroGrad();
      open = false;
    },
    addParamGroup(group: Parameters<AnyOptimizer["addParamGroup"]>[0]): void {
      optimizer.guard("addParamGroup");
      // Before it is added: a group that other ranks do not have is not taken back.
      agreeAll(ours, aspectsOfGroup(group));
      optimizer.addParamGroup(group);
      agreeAll(ours, aspects());
      message = undefined;
    },
    async stateDict(options: Parameters<AnyOptimizer["stateDict"]>[0] = {}): Promise<OptimizerStateDict> {
      if (open && options.pending !== false) throw windowOpen("stateDict", "gradients of one rank alone");
      return optimizer.stateDict(options);
    },
    prepareLoad(...given: Parameters<AnyOptimizer["prepareLoad"]>): ReturnType<AnyOptimizer["prepareLoad"]> {
      const [state, options] = given;
      if (hasGradients(state, options))
        throw windowOpen("prepareLoad", "a state with gradients of one rank alone");
      return optimizer.prepareLoad(...given);
    },
    dispose(): void {
      optimizer.dispose();
      ours.close();
    },
  };
  return Object.create(optimizer, Object.getOwnPropertyDescriptors(overrides)) as O;
}

function requireWaiting(optimizer: AnyOptimizer, communicator: Communicator): void {
  const hint = "Use dataParallel(wrapper, communicator), whose calls are awaited";
  if (communicator.allReduceSync === undefined) {
    const expected = "one that can wait (allReduceSync)";
    refuse("unsupported", `${who}: communicator`, expected, communicator, { hint });
  }
  if (optimizer.readGradientsSync === undefined) {
    const expected = "a backend that reads gradients without waiting";
    refuse("unsupported", `${who}: optimizer`, expected, optimizer.backend, { hint });
  }
  // Some cannot on the device that is current: they say so here, not in the first step.
  optimizer.readGradientsSync();
}

function agreeAll(communicator: Communicator, aspects: Aspects): void {
  agreeSync(communicator, allReduceSyncOf(communicator), who, aspects);
}

function sumSync(
  communicator: Communicator,
  { buffer, gradients, tail }: Pick<WindowMessage, "buffer" | "gradients" | "tail">,
): void {
  if (!isLossy(communicator)) return allReduceSyncOf(communicator)(buffer);
  allReduceSyncOf(communicator)(gradients);
  allReduceSyncOf(communicator.exact)(tail);
}

const allReduceSyncOf = ({ allReduceSync }: Communicator): NonNullable<Communicator["allReduceSync"]> =>
  allReduceSync as NonNullable<Communicator["allReduceSync"]>;

/** The optimizer refuses what is not a state. */
function hasGradients(state: OptimizerStateDict, options: LoadOptions | undefined): boolean {
  const { params } = Object(state) as Partial<OptimizerStateDict>;
  if (options?.restore?.pending === false || !Array.isArray(params)) return false;
  return (params as unknown[]).some(
    (entry) => (Object(entry) as { gradient?: unknown }).gradient !== undefined,
  );
}

const windowOpen = (call: string, received: string): OptimError =>
  new OptimError("window-open", `${who}: ${call}`, {
    expected: "a window without pending gradients",
    received,
    hint: "Save at the end of a window, or with { pending: false }; load with { restore: { pending: false } }",
  });
