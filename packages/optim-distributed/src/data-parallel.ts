import type { OptimWrapper, UpdateParamsOptions, UpdateParamsResult } from "@mm/optim-core";
import { OptimError } from "@mm/optim-core";
import { checkSchema, isFinite32, type Test } from "@mm/optim-core/schema";
import { agree } from "./agreement.ts";
import { aspectsOfOptimizer, aspectsOfWrappers } from "./aspects.ts";
import { type Communicator, requireCommunicator } from "./communicator.ts";
import { isLossy } from "./compressed.ts";
import { WindowMessage } from "./window-message.ts";
import { requireWrapper } from "./wrappers.ts";

/** The updates of a wrapper over all ranks, awaited. Calls are done one after the other, in the order in which they were made. */
export interface DataParallel<in Loss, out LossValue> {
  /** See `OptimWrapper.updateParams`; at the end of a window the step is that of all ranks. Waits for the device there. */
  readonly updateParams: <const R extends boolean = false>(
    loss: Loss,
    options?: UpdateParamsOptions<R>,
  ) => Promise<UpdateParamsResult<LossValue, R>>;
  /** For a rank without data: counts, and takes part in the step at the end of a window. */
  skip(): Promise<{ readonly updated: boolean }>;
  /** Steps the short windows of all ranks now. Collective, also for ranks whose window is empty. */
  flush(): Promise<{ readonly updated: boolean }>;
  /** Ends this, and not the wrapper. */
  close(): void;
}

const who = "dataParallel";

/**
 * Updates a wrapper of any backend, also those whose device must be waited for, by the gradients of all ranks. For loops written by hand; on
 * host backends `distributed` leaves every other program as it is.
 *
 * ```ts
 * const parallel = dataParallel(wrapper, communicator);
 * await parallel.updateParams(() => loss(mine), { weight: mine.length });
 * ```
 *
 * At the end of a window the gradients are read, summed in one all-reduce and written back, and the wrapper steps, divided by the weights of
 * all ranks. Weights, missing gradients and overflow are as in `distributed`. From here on the wrapper's own `updateParams`, `backward`,
 * `skip`, `step` and `flush` are not called; all else is.
 *
 * Collective: every rank makes it at the same place. Ranks with other optimizers or options are refused by the first call
 * (`communication-mismatch`, on every rank).
 *
 * @throws OptimError `invalid-wrapper`, `invalid-option`; the calls reject with what wrapper and communicator throw, and with `window-open`
 * where the wrapper was left or loaded in mid-window
 */
export function dataParallel<Loss, LossValue>(
  wrapper: OptimWrapper<Loss, LossValue>,
  communicator: Communicator,
): DataParallel<Loss, LossValue> {
  requireWrapper(wrapper, who);
  requireCommunicator(communicator, who);
  const { optimizer } = wrapper;
  const ours = communicator.duplicate();
  let agreed: Promise<void> | undefined;
  let message = new WindowMessage(optimizer.parameters);
  /** The weights of this rank's window ÷ its divisor. */
  let weights = 0;
  /** The counts of the wrapper, as far as it was counted here; other counts are a load, or calls of the wrapper itself. */
  let counted: number | undefined;
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(run: () => Promise<T>): Promise<T> => {
    const next = last.then(async () => {
      await (agreed ??= agree(ours, who, {
        ...aspectsOfWrappers([["", wrapper]]),
        ...aspectsOfOptimizer(optimizer),
      }));
      return run();
    });
    last = next.catch(() => {});
    return next;
  };

  const begin = async (): Promise<void> => {
    if (wrapper.innerCount === counted) return;
    const { counts } = wrapper.shouldUpdate() ? { counts: undefined } : await wrapper.stateDict();
    if (counts !== undefined && counts.windowStart < counts.innerCount) {
      throw new OptimError("window-open", who, {
        expected: "a wrapper at the end of a window",
        received: `${counts.innerCount - counts.windowStart} micro-batches that were not counted here`,
        hint: "Load states with { restore: { pending: false } }, and leave updates to dataParallel",
      });
    }
    weights = 0;
  };
  /** The step of all ranks. */
  const finish = async (): Promise<boolean> => {
    if (message.count !== optimizer.parameters.length) message = new WindowMessage(optimizer.parameters);
    message.fill(await optimizer.readGradients(), weights);
    await sum(ours, message);
    const present = message.present();
    const updated = message.weight !== 0 && Object.keys(present).length > 0;
    if (updated) {
      optimizer.writeGradients(present);
      wrapper.step({ rescale: 1 / message.weight });
    }
    wrapper.zeroGrad();
    weights = 0;
    return updated;
  };

  return {
    updateParams<const R extends boolean = false>(loss: Loss, options: UpdateParamsOptions<R> = {}) {
      return inOrder(async (): Promise<UpdateParamsResult<LossValue, R>> => {
        await begin();
        const { weight = 1, ...others } = Object(options) as UpdateParamsOptions<R>;
        checkSchema("invalid-option", `${who}: updateParams: weight`, weight, aWeight);
        const share = weight / wrapper.lossFactor();
        let result: UpdateParamsResult<LossValue, R>;
        if (wrapper.shouldSync()) {
          const backward = wrapper.backward(loss, { ...others, scale: share });
          weights += share;
          result = { updated: await finish(), ...backward };
        } else {
          result = wrapper.updateParams(loss, options);
          weights += share;
        }
        counted = wrapper.innerCount;
        return result;
      });
    },
    skip: () =>
      inOrder(async () => {
        await begin();
        // The step comes first: the wrapper's own, of a window without weight, does nothing then.
        const updated = wrapper.shouldSync() && (await finish());
        wrapper.skip();
        counted = wrapper.innerCount;
        return { updated };
      }),
    flush: () =>
      inOrder(async () => {
        await begin();
        const updated = await finish();
        counted = wrapper.innerCount;
        return { updated };
      }),
    close: () => ours.close(),
  };
}

const aWeight: Test = [(value: unknown) => isFinite32(value) && value >= 0, "a finite number of at least 0"];

async function sum(communicator: Communicator, { buffer, gradients, tail }: WindowMessage): Promise<void> {
  if (!isLossy(communicator)) return communicator.allReduce(buffer);
  await communicator.allReduce(gradients);
  await communicator.exact.allReduce(tail);
}
