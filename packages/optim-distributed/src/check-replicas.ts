import { type AnyOptimWrapper, OptimError } from "@mm/optim-core";
import { type Communicator, requireCommunicator } from "./communicator.ts";
import { hashText, hashWords } from "./hash.ts";
import { ranksThatDiffer } from "./majority.ts";
import { encodePlain } from "./plain-data.ts";
import { membersOf, type OptimWrappers } from "./wrappers.ts";

/** A hash of 64 bits of something that has a name. */
type Part = readonly [name: string, first: number, second: number];

const who = "checkReplicas";

/**
 * Compares parameters and state of all ranks, to the bit: parameters, slots, and what else a state holds but gradients of a window in progress.
 * Collective; waits for the device, and reads all of it. Between two windows: worth it every few hundred steps, and before a save.
 *
 * @param wrappers a wrapper, a dict or pairs of name and wrapper
 * @throws OptimError `replicas-differ` on every rank: `ranks` lists those that differ from most, and `mismatched` what differs; with two ranks
 * it lists both, since nobody can tell which is right. `communication-mismatch` when ranks hold other wrappers, and what the communicator throws
 */
export async function checkReplicas(wrappers: OptimWrappers, communicator: Communicator): Promise<void> {
  requireCommunicator(communicator, who);
  const parts = (
    await Promise.all(membersOf(wrappers, who).map(([name, wrapper]) => partsOf(name, wrapper)))
  ).flat();
  const names = hashText(JSON.stringify(parts.map(([name]) => name)));
  const whole = hashWords(new Int32Array(parts.flatMap(([, first, second]) => [first, second])));
  const found = await collect(communicator, [names, ...whole]);
  requireSameNames(communicator, found);
  const ranks = ranksThatDiffer(found.map(String));
  if (ranks.length === 0) return;
  const each = await collect(
    communicator,
    parts.flatMap(([, first, second]) => [first, second]),
  );
  const mismatched = parts.flatMap(([name], index) =>
    ranksThatDiffer(each.map((words) => String(words.subarray(2 * index, 2 * index + 2)))).length > 0
      ? [name]
      : [],
  );
  const all = ranks.length === communicator.size;
  throw new OptimError("replicas-differ", `rank ${communicator.rank}: ${who}`, {
    expected: "the same parameters and state on all ranks",
    received: `${all ? "no majority among" : "others on"} rank ${ranks.join(", ")}: ${shortened(mismatched)}`,
    hint: "broadcastState() copies those of one rank to all; look for what ranks do differently: random numbers, schedules, options",
    ranks,
    mismatched,
  });
}

async function partsOf(name: string, wrapper: AnyOptimWrapper): Promise<readonly Part[]> {
  const [parameters, state] = await Promise.all([
    wrapper.optimizer.readParameters(),
    wrapper.stateDict({ pending: false }),
  ]);
  const slots = state.optimizer.params.flatMap(({ name: parameter, slots }) =>
    Object.entries(slots).map(([slot, tensor]) => [`${parameter}.${slot}`, tensor] as const),
  );
  const tensors = [...Object.entries(parameters), ...slots].map(([tensor, values]): Part => [
    `${name}.${tensor}`,
    ...hashTensor(values),
  ]);
  // The tensors of a state are in the text by their places alone.
  const { text } = encodePlain(state);
  const settings = hashText(text);
  return [...tensors, [`${name}: counts, hyperparameters, loss scale`, settings, settings]];
}

const hashTensor = ({ buffer, byteOffset, length }: Float32Array): readonly [number, number] =>
  hashWords(new Int32Array(buffer, byteOffset, length));

/** The words of every rank. */
async function collect(communicator: Communicator, words: readonly number[]): Promise<readonly Int32Array[]> {
  const { rank, size } = communicator;
  const message = new Int32Array(size * words.length);
  message.set(words, rank * words.length);
  await communicator.allReduce(message);
  return Array.from({ length: size }, (_, of) =>
    message.subarray(of * words.length, (of + 1) * words.length),
  );
}

function requireSameNames({ rank }: Communicator, found: readonly Int32Array[]): void {
  const ranks = ranksThatDiffer(found.map(([names]) => String(names)));
  if (ranks.length === 0) return;
  throw new OptimError("communication-mismatch", `rank ${rank}: ${who}`, {
    expected: "wrappers with the same parameters and slots on every rank",
    received: `others on rank ${ranks.join(", ")}`,
    ranks,
  });
}

const shortened = (names: readonly string[]): string =>
  names.length <= 5 ? names.join(", ") : `${names.slice(0, 5).join(", ")} and ${names.length - 5} more`;
