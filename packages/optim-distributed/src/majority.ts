/** The ranks whose value is not that of most. All ranks, where no value is that of more than half; none, where all are equal. */
export function ranksThatDiffer(values: readonly string[]): readonly number[] {
  const tally = new Map<string, number>();
  for (const value of values) tally.set(value, (tally.get(value) ?? 0) + 1);
  if (tally.size <= 1) return [];
  const most = [...tally].find(([, count]) => 2 * count > values.length)?.[0];
  return values.flatMap((value, rank) => (value === most ? [] : [rank]));
}
