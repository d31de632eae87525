import type { NamedTensors, OptimWrapperStateDict } from "@mm/optim-core";
import { agree } from "./agreement.ts";
import { aspectsOfWrappers } from "./aspects.ts";
import { type Communicator, requireCommunicator, requireRank } from "./communicator.ts";
import { decodePlain, encodePlain } from "./plain-data.ts";
import { type Member, membersOf, type OptimWrappers } from "./wrappers.ts";

/** The message of one wrapper. */
interface Sent {
  readonly state: OptimWrapperStateDict;
  readonly parameters: NamedTensors;
}

const who = "broadcastState";

/**
 * Makes all ranks start from the same: copies the root's parameters and state (slots, step counts, hyperparameters, counts of windows, loss
 * scale) to all others. Gradients of a window in progress are not sent. Collective; waits for the device.
 *
 * Called once before the loop, after the root has made or loaded what it trains. It also compares the wrappers: another order, rule, shape or
 * option on one rank is refused on every rank, and nothing has changed then.
 *
 * @param wrappers a wrapper, a dict or pairs of name and wrapper
 * @param root the rank whose state is taken. Default 0
 * @throws OptimError `communication-mismatch`, `invalid-wrapper`, `invalid-option`, what the communicator throws, and what `stateDict()` and
 * `prepareLoad()` of a wrapper do
 */
export async function broadcastState(
  wrappers: OptimWrappers,
  communicator: Communicator,
  root = 0,
): Promise<void> {
  requireCommunicator(communicator, who);
  requireRank(root, communicator.size, `${who}: root`);
  const members = membersOf(wrappers, who);
  await agree(communicator, who, { ...aspectsOfWrappers(members), root: String(root) });
  if (communicator.rank === root) await send(await read(members), communicator, root);
  else take(members, (await receive(communicator, root)) as readonly Sent[]);
}

function read(members: readonly Member[]): Promise<readonly Sent[]> {
  return Promise.all(
    members.map(async ([, wrapper]) => {
      const [state, parameters] = await Promise.all([
        wrapper.stateDict({ pending: false }),
        wrapper.optimizer.readParameters(),
      ]);
      return { state, parameters };
    }),
  );
}

/** All of it or nothing. */
function take(members: readonly Member[], sent: readonly Sent[]): void {
  const prepared = [];
  try {
    for (const [index, [, wrapper]] of members.entries()) {
      prepared.push(wrapper.prepareLoad((sent[index] as Sent).state));
    }
    for (const [index, [, { optimizer }]] of members.entries()) {
      optimizer.writeParameters((sent[index] as Sent).parameters);
    }
    for (const load of prepared) load.commit();
  } finally {
    for (const load of prepared) load.dispose();
  }
}

async function send(value: unknown, communicator: Communicator, root: number): Promise<void> {
  const { text, tensors } = encodePlain(value);
  const bytes = new TextEncoder().encode(text);
  const numbers = joined(tensors);
  await communicator.broadcast(new Float64Array([bytes.length, numbers.length]), root);
  await communicator.broadcast(bytes, root);
  if (numbers.length > 0) await communicator.broadcast(numbers, root);
}

async function receive(communicator: Communicator, root: number): Promise<unknown> {
  const lengths = new Float64Array(2);
  await communicator.broadcast(lengths, root);
  const bytes = new Uint8Array(lengths[0] as number);
  const numbers = new Float32Array(lengths[1] as number);
  await communicator.broadcast(bytes, root);
  if (numbers.length > 0) await communicator.broadcast(numbers, root);
  return decodePlain(new TextDecoder().decode(bytes), numbers);
}

function joined(tensors: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(tensors.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const tensor of tensors) {
    all.set(tensor, end);
    end += tensor.length;
  }
  return all;
}
