import type { AnyOptimWrapper, NamedTensors } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { checkSchema, integerFrom } from "@mm/optim-core/schema";
import { agree } from "./agreement.ts";
import { aspectsOfWrappers } from "./aspects.ts";
import { type Communicator, requireCommunicator } from "./communicator.ts";
import { isLossy } from "./compressed.ts";
import { WindowMessage } from "./window-message.ts";
import { requireWrapper } from "./wrappers.ts";

export interface LocalStepsOptions {
  /** Local updates between two exchanges. */
  readonly every: number;
}

export interface LocalSteps {
  /** Counts one local update; after `every` of them it exchanges. Collective: every rank counts alike, also one that had no data. */
  step(): Promise<{ readonly exchanged: boolean }>;
  /** Exchanges now, and begins to count anew. Collective; waits for the device. */
  exchange(): Promise<void>;
  /** Ends this, and neither wrapper. */
  close(): void;
}

const who = "localSteps";

/**
 * Rare exchanges: each rank trains by itself, and every so many updates the ranks agree on new parameters. `inner` is an ordinary wrapper, synchronous
 * as ever; `outer` is a second one on parameters of the same names and shapes, which are those that the ranks share. In an exchange the mean way
 * of all ranks (shared − own parameters) is the gradient of one step of `outer`, and all ranks go on from its result.
 *
 * With `sgd({ lr: 1 })` as the outer rule this is local SGD: the mean of the parameters. With `sgd({ lr: 0.7, momentum: 0.9, nesterov: true })`
 * and AdamW inside it is DiLoCo (Douillard et al. 2023, arXiv:2311.08105).
 *
 * ```ts
 * const local = localSteps(inner, outer, { every: 10 }, communicator);
 * inner.updateParams(loss);
 * await local.step();
 * ```
 *
 * The shared parameters start as copies of the inner ones, equal on all ranks (`broadcastState`). A rank that did not move since the last
 * exchange does not count in the mean. Inner optimizer state stays each rank's own: it is never sent, and `checkReplicas` fits `outer` alone.
 *
 * @throws OptimError `invalid-wrapper`, `invalid-option`; the calls reject with what wrappers and communicator throw
 */
export function localSteps(
  inner: AnyOptimWrapper,
  outer: AnyOptimWrapper,
  options: LocalStepsOptions,
  communicator: Communicator,
): LocalSteps {
  requireWrapper(inner, `${who}: inner`);
  requireWrapper(outer, `${who}: outer`);
  requireCommunicator(communicator, who);
  checkSchema("invalid-option", who, options, { fields: { every: integerFrom(1) } });
  requireSameParameters(inner, outer);
  const { every } = options;
  const ours = communicator.duplicate();
  let agreed: Promise<void> | undefined;
  const message = new WindowMessage(outer.optimizer.parameters);
  let count = 0;
  const exchange = async (): Promise<void> => {
    // Before anything is sent: at an evaluation point the way would be that of other parameters.
    inner.optimizer.guard("writeParameters");
    outer.optimizer.guard("step");
    await (agreed ??= agree(ours, who, { ...aspectsOfWrappers([["", outer]]), every: String(every) }));
    count = 0;
    const [shared, own] = await Promise.all([
      outer.optimizer.readParameters(),
      inner.optimizer.readParameters(),
    ]);
    const moved = subtract(shared, own);
    message.fill(shared, moved ? 1 : 0);
    await ours.allReduce(isLossy(ours) ? message.gradients : message.buffer);
    if (isLossy(ours)) await ours.exact.allReduce(message.tail);
    if (message.weight === 0) return;
    outer.optimizer.writeGradients(message.present());
    outer.step({ rescale: 1 / message.weight });
    outer.zeroGrad();
    inner.optimizer.writeParameters(await outer.optimizer.readParameters());
  };
  return {
    async step() {
      count += 1;
      const exchanged = count >= every;
      if (exchanged) await exchange();
      return { exchanged };
    },
    exchange,
    close: () => ours.close(),
  };
}

/** Subtracts in place. @returns whether anything differs */
function subtract(from: NamedTensors, what: NamedTensors): boolean {
  let differs = false;
  for (const [name, tensor] of Object.entries(from)) {
    const other = what[name] as Float32Array;
    for (let index = 0; index < tensor.length; index += 1) {
      const way = (tensor[index] as number) - (other[index] as number);
      differs ||= way !== 0;
      tensor[index] = way;
    }
  }
  return differs;
}

function requireSameParameters(inner: AnyOptimWrapper, outer: AnyOptimWrapper): void {
  const of = ({ optimizer }: AnyOptimWrapper): string =>
    JSON.stringify(
      optimizer.parameters.map(({ name, shape }) => [name, shape.reduce((all, each) => all * each, 1)]),
    );
  if (of(inner) === of(outer)) return;
  refuse("invalid-option", `${who}: outer`, `the names and sizes of inner: ${of(inner)}`, of(outer));
}
