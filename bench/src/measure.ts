/** One thing that is timed. `run` does the work once and waits for it. */
export interface Case {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

export interface Timing {
  readonly name: string;
  readonly medianMs: number;
  /** By round, where cases were timed in turn. */
  readonly rounds?: readonly number[];
  /** Of it on a GPU, in compute passes. */
  readonly passMs?: number;
}

/** Timings that were taken side by side, and the ratios that are read from them. */
export interface Section {
  readonly title: string;
  /** The measurement, in a sentence or two. */
  readonly about: string;
  readonly timings: readonly Timing[];
  readonly ratios: readonly Ratio[];
}

export interface Ratio {
  /** `"JS loop ÷ arena"` */
  readonly what: string;
  readonly value: number;
  /** The quartiles of the ratios of the rounds, whose median is the value. */
  readonly quartiles?: readonly [number, number];
  /** Heading of its column in the table of WebGPU adapters; absent where it is not in there. */
  readonly column?: string;
  /** The goal for it; absent where it only informs. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
}

/** Device time of one ÷ that of the other, where both have it. */
export function passRatio(timings: readonly Timing[], over: string, under: string): readonly Ratio[] {
  const [a, b] = [over, under].map((name) => timings.find((timing) => timing.name === name)?.passMs);
  return a === undefined || b === undefined
    ? []
    : [{ what: `${over} ÷ ${under}, on the device`, value: a / b }];
}

/** `smoke` runs everything once on small data: it shows that the benchmarks work, and measures nothing. */
export interface Effort {
  readonly smoke: boolean;
}

/**
 * Times all cases in turn, A B C A B C …, so that a change of the machine's speed meets them alike, and takes medians. Timing libraries
 * run one case after the other; a ratio between minutes apart says little on a shared machine.
 */
export async function sideBySide(
  cases: readonly Case[],
  { smoke }: Effort,
  rounds = 25,
  warmups = smoke ? 0 : 5,
): Promise<Timing[]> {
  const samples = cases.map(() => [] as number[]);
  for (let round = -warmups; round < (smoke ? 1 : rounds); round += 1) {
    for (const [index, { run }] of cases.entries()) {
      const start = performance.now();
      await run();
      const time = performance.now() - start;
      if (round >= 0) samples[index]?.push(time);
    }
  }
  return cases.map(({ name }, index) => {
    const rounds = samples[index] ?? [];
    return { name, medianMs: median(rounds), rounds };
  });
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Between two values, the line between them. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [below = Number.NaN, above = below] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (at - Math.floor(at)) * (above - below);
}

/**
 * `over` ÷ `under`: the median of the ratios of the rounds, which a change of the machine's speed from one round to the next leaves alone, and
 * their quartiles, which say how much of it is chance.
 */
export function ratio(timings: readonly Timing[], over: string, under: string, goal?: Ratio["goal"]): Ratio {
  const of = (name: string): Timing => {
    const timing = timings.find((candidate) => candidate.name === name);
    if (timing === undefined)
      throw new Error(`no timing ${name} among ${timings.map((known) => known.name).join(", ")}`);
    return timing;
  };
  const [a, b] = [of(over), of(under)];
  const below = b.rounds ?? [b.medianMs];
  const ratios = (a.rounds ?? [a.medianMs]).map((time, round) => time / (below[round] as number));
  return {
    what: `${over} ÷ ${under}`,
    value: median(ratios),
    ...(ratios.length > 1 && { quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)] }),
    ...(goal && { goal }),
  };
}
