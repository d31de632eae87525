import { setTimeout } from "node:timers/promises";
import { queryObjects } from "node:v8";

/**
 * How many JavaScript objects are alive once all garbage is gone, functions, promises and typed arrays included. Memory of the device's objects
 * hold goes some turns after them, so the least of several counts holds. A count does not vary as bytes of the heap do.
 */
export async function liveObjects(): Promise<number> {
  const counts: number[] = [];
  for (let turn = 0; turn < 4; turn += 1) {
    counts.push(queryObjects(Object, { format: "count" }));
    await setTimeout(20);
  }
  return Math.min(...counts);
}
