// The calls of every communicator, with the arithmetic of their results.
import type { SlicingCommunicator } from "@mm/optim-distributed";

type Results = { readonly [what: string]: readonly number[] };

/** Runs on each rank. */
export async function exchange(communicator: SlicingCommunicator): Promise<Results> {
  const { rank, size } = communicator;
  const results: Record<string, readonly number[]> = { place: [rank, size] };
  const keep = (what: string, tensor: Float32Array | Int32Array | Uint8Array): void => {
    results[what] = [...tensor];
  };

  const floats = new Float32Array([rank + 1, 0.25 * (rank + 1), -1]);
  await communicator.allReduce(floats);
  keep("floats", floats);
  const integers = new Int32Array([rank, -(2 ** 30)]);
  await communicator.allReduce(integers);
  keep("integers", integers);

  // A view: what lies before and after it is not touched.
  const around = new Float32Array([7, rank, 7]);
  await communicator.allReduce(around.subarray(1, 2));
  keep("view", around);

  const bytes = new Uint8Array([rank, 10 * rank]);
  await communicator.broadcast(bytes, size - 1);
  keep("broadcast", bytes);

  const all = new Float32Array(2 * size);
  await communicator.allGather(new Float32Array([rank, 2 * rank]), all);
  keep("allGather", all);
  const slices = new Int32Array(size);
  await communicator.allToAll(
    Int32Array.from({ length: size }, (_, to) => 100 * rank + to),
    slices,
  );
  keep("allToAll", slices);

  // Duplicates have sequences of their own: each is used on its own.
  const [first, second] = [communicator.duplicate(), communicator.duplicate()];
  const [a, b] = [new Int32Array([1]), new Int32Array([10])];
  await first.allReduce(a);
  await second.allReduce(b);
  keep("duplicates", new Int32Array([a[0] as number, b[0] as number]));
  second.close();
  first.close();

  // More than one message, and more than the pieces of a shared memory.
  const large = Float32Array.from({ length: 100_003 }, (_, index) => index % 7);
  await communicator.allReduce(large);
  keep(
    "large",
    large.filter((value, index) => value !== size * (index % 7)),
  );
  const row = Uint8Array.from({ length: 50_000 }, (_, index) => index + rank);
  const rows = new Uint8Array(50_000 * size);
  await communicator.allGather(row, rows);
  keep(
    "large gather",
    rows.filter((value, index) => value !== (((index % 50_000) + Math.floor(index / 50_000)) & 255)),
  );

  if (communicator.allReduceSync !== undefined) {
    const waited = new Float32Array([rank]);
    communicator.allReduceSync(waited);
    const gathered = new Float32Array(size);
    communicator.allGatherSync?.(waited.fill(rank), gathered);
    const swapped = new Float32Array(size);
    communicator.allToAllSync?.(gathered, swapped);
    keep("waiting", swapped);
  }
  return results;
}

/** The result on `rank`. */
export function expected(rank: number, size: number, waits: boolean): Results {
  const ranks = Array.from({ length: size }, (_, index) => index);
  const sum = (size * (size - 1)) / 2; // of all ranks
  return {
    place: [rank, size],
    floats: [sum + size, 0.25 * (sum + size), -size],
    // Sums of integers wrap around.
    integers: [sum, (-(2 ** 30) * size) | 0],
    view: [7, sum, 7],
    broadcast: [size - 1, 10 * (size - 1)],
    allGather: ranks.flatMap((other) => [other, 2 * other]),
    allToAll: ranks.map((other) => 100 * other + rank),
    duplicates: [size, 10 * size],
    // Elements that are not what they should be.
    large: [],
    "large gather": [],
    // Every rank sends its own number to all from a list of all: slice `rank` of each list is `rank`.
    ...(waits && { waiting: ranks.map(() => rank) }),
  };
}

/** Refusals before anything is sent. Each leaves the communicator usable. */
export async function refusals(communicator: SlicingCommunicator): Promise<readonly unknown[]> {
  const { size } = communicator;
  const moved = new Float32Array(4);
  structuredClone(moved, { transfer: [moved.buffer] });
  const calls = [
    communicator.allReduce(moved),
    communicator.allReduce(new Float32Array(0)),
    communicator.allReduce(new Float64Array(1) as never),
    communicator.broadcast(new Float32Array(1), size),
    communicator.allGather(new Float32Array(1), new Float32Array(size + 1)),
    communicator.allToAll(new Float32Array(size), new Float32Array(2 * size)),
  ];
  const codes = (await Promise.allSettled(calls)).map(
    (call) => call.status === "rejected" && (call.reason as { code?: unknown }).code,
  );
  await communicator.allReduce(new Int32Array(1));
  return codes;
}
