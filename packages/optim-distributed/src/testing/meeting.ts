import { OptimError } from "@mm/optim-core";
import { ranksThatDiffer } from "../majority.ts";

/** One collective call, as one rank makes it. */
export interface Call {
  /** Its name, with type, length and root: equal on all ranks. */
  readonly description: string;
  readonly from: ArrayBufferView;
  readonly to: ArrayBufferView;
}

/** The effect of a call once all ranks are there. `calls` are in the order of ranks. */
export type Exchange = (calls: readonly Call[]) => void;

interface Arrival extends Call {
  readonly done: (error?: OptimError) => void;
}

interface Meeting {
  readonly arrivals: (Arrival | undefined)[];
  present: number;
}

/** Where the ranks of one communicator meet: the nth call of each rank is the nth meeting. */
export class Room {
  readonly size: number;
  #failure: OptimError | undefined;
  readonly #meetings = new Map<number, Meeting>();
  readonly #next: number[];
  readonly #duplicates: number[];
  readonly #children: Room[] = [];
  readonly #closed = new Set<number>();

  constructor(size: number) {
    this.size = size;
    this.#next = Array.from({ length: size }, () => 0);
    this.#duplicates = Array.from({ length: size }, () => 0);
  }

  /** The rank takes part in its next meeting. */
  meet(rank: number, call: Call, exchange: Exchange, timeoutMs: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const turn = this.#next[rank] as number;
    this.#next[rank] = turn + 1;
    const meeting = this.#meetings.get(turn) ?? {
      arrivals: Array.from({ length: this.size }, () => undefined),
      present: 0,
    };
    this.#meetings.set(turn, meeting);
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => this.fail(late(rank, call, meeting, timeoutMs)), timeoutMs);
      meeting.arrivals[rank] = {
        ...call,
        done(error) {
          clearTimeout(timer);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      meeting.present += 1;
      if (meeting.present === this.size) this.#hold(turn, meeting, exchange);
      else this.#refuseAbsent();
    });
  }

  /** Ends all that waits, and all calls to come. */
  fail(error: OptimError): void {
    this.#failure ??= error;
    for (const { arrivals } of this.#meetings.values()) for (const arrival of arrivals) arrival?.done(error);
    this.#meetings.clear();
    for (const child of this.#children) child.fail(error);
  }

  /** The room of the rank's next duplicate. */
  duplicate(rank: number): Room {
    const index = this.#duplicates[rank] as number;
    this.#duplicates[rank] = index + 1;
    const room = (this.#children[index] ??= new Room(this.size));
    if (this.#failure !== undefined) room.fail(this.#failure);
    return room;
  }

  close(rank: number): void {
    this.#closed.add(rank);
    this.#refuseAbsent();
  }

  #hold(turn: number, { arrivals }: Meeting, exchange: Exchange): void {
    this.#meetings.delete(turn);
    const calls = arrivals as readonly Arrival[];
    const ranks = ranksThatDiffer(calls.map(({ description }) => description));
    if (ranks.length > 0) return this.#refuseDifferent(calls, ranks);
    exchange(calls);
    for (const { done } of calls) done();
  }

  #refuseDifferent(calls: readonly Arrival[], ranks: readonly number[]): void {
    const error = new OptimError("communication-mismatch", "communicator", {
      expected: "the same calls in the same order on every rank",
      received: calls.map(({ description }, rank) => `rank ${rank}: ${description}`),
      ranks,
    });
    for (const { done } of calls) done(error);
    this.fail(error);
  }

  /** A rank that waits for one that has left would wait for ever. */
  #refuseAbsent(): void {
    for (const { arrivals } of this.#meetings.values()) {
      const left = [...this.#closed].find((rank) => arrivals[rank] === undefined);
      if (left === undefined) continue;
      return this.fail(
        new OptimError("communication-error", "communicator", {
          expected: "all ranks in every call",
          received: `rank ${left} closed its communicator`,
        }),
      );
    }
  }
}

function late(rank: number, { description }: Call, { arrivals }: Meeting, timeoutMs: number): OptimError {
  const absent = arrivals.flatMap((arrival, index) => (arrival === undefined ? [index] : []));
  return new OptimError("communication-timeout", `rank ${rank}: ${description}`, {
    expected: `all ranks within ${timeoutMs} ms (timeoutMs)`,
    received: `none of rank ${absent.join(", ")}`,
  });
}
