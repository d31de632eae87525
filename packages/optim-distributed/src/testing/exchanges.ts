import { bytesOf, type Summable } from "../communicator.ts";
import type { Call, Exchange } from "./meeting.ts";

/** Sums in the order of ranks, every addition rounded. */
export const sum: Exchange = (calls) => {
  const [first, ...others] = calls.map(({ to }) => to as Summable);
  const total = (first as Summable).slice();
  for (const other of others)
    for (let index = 0; index < total.length; index += 1) (total[index] as number) += other[index] as number;
  for (const { to } of calls) (to as Summable).set(total);
};

export const copyFrom =
  (root: number): Exchange =>
  (calls) => {
    const source = bytesOf((calls[root] as Call).from);
    for (const [rank, { to }] of calls.entries()) if (rank !== root) bytesOf(to).set(source);
  };

export const transpose: Exchange = (calls) => {
  const sources = calls.map(({ from }) => bytesOf(from).slice());
  for (const [rank, { to }] of calls.entries()) {
    const length = to.byteLength / calls.length;
    for (const [index, source] of sources.entries()) {
      bytesOf(to).set(source.subarray(rank * length, (rank + 1) * length), index * length);
    }
  }
};

export const gather: Exchange = (calls) => {
  const sources = calls.map(({ from }) => bytesOf(from).slice());
  for (const { to } of calls) {
    for (const [index, source] of sources.entries()) bytesOf(to).set(source, index * source.length);
  }
};
