/** From `start` to `end` as `share` goes from 0 to 1; both ends exactly. */
export function mix(start: number, end: number, share: number): number {
  return start * (1 - share) + end * share;
}

/** The same along half a cosine; beyond 1 it comes back. */
export function mixByCosine(start: number, end: number, share: number): number {
  return mix(start, end, (1 - Math.cos(Math.PI * share)) / 2);
}
