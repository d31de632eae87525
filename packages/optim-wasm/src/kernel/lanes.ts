/** The immediate bytes of a shuffle that takes these lanes of float32: 0 to 3 of the first operand, 4 to 7 of the second. */
export function lanes(...order: readonly number[]): number[] {
  return order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
}
