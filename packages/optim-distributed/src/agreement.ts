import { OptimError } from "@mm/optim-core";
import type { Communicator } from "./communicator.ts";
import { hashText } from "./hash.ts";
import { ranksThatDiffer } from "./majority.ts";

/** The version of what ranks send to each other. Ranks of different releases refuse each other by it. */
const protocolVersion = 1;

/** The things that have to be equal on all ranks, by the words for them. At most fifteen. */
export type Aspects = { readonly [words: string]: string };

/** Words of a rank in the message: the protocol's version, then a hash for each aspect. The same in all versions. */
const wordsPerRank = 16;

/**
 * Compares what ranks are about to do, in one sum of 64 bytes a rank. Collective.
 *
 * @throws OptimError `communication-mismatch` on every rank, naming the aspect and the ranks that differ
 */
export async function agree(communicator: Communicator, who: string, aspects: Aspects): Promise<void> {
  const message = messageOf(communicator, aspects);
  await communicator.allReduce(message);
  compare(communicator, who, aspects, message);
}

/** The same, waiting. */
export function agreeSync(
  communicator: Communicator,
  allReduceSync: NonNullable<Communicator["allReduceSync"]>,
  who: string,
  aspects: Aspects,
): void {
  const message = messageOf(communicator, aspects);
  allReduceSync(message);
  compare(communicator, who, aspects, message);
}

function messageOf({ rank, size }: Communicator, aspects: Aspects): Int32Array {
  const message = new Int32Array(size * wordsPerRank);
  message.set([protocolVersion, ...Object.values(aspects).map(hashText)], rank * wordsPerRank);
  return message;
}

function compare({ rank, size }: Communicator, who: string, aspects: Aspects, message: Int32Array): void {
  for (const [index, words] of ["version of @mm/optim-distributed", ...Object.keys(aspects)].entries()) {
    const of = (other: number): string => String(message[other * wordsPerRank + index]);
    const ranks = ranksThatDiffer(Array.from({ length: size }, (_, other) => of(other)));
    if (ranks.length === 0) continue;
    throw new OptimError("communication-mismatch", `rank ${rank}: ${who}`, {
      expected: `the same ${words} on every rank`,
      received: `others on rank ${ranks.join(", ")}`,
      hint: "All ranks run the same program, and make their optimizers in the same order",
      ranks,
    });
  }
}
