/** One thing that is timed. `run` does the work once and waits for it. */
export interface Case {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

export interface Timing {
  readonly name: string;
  readonly medianMs: number;
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
  /** Heading of its column in the table of WebGPU adapters; absent where it is not in there. */
  readonly column?: string;
  /** The goal for it; absent where it only informs. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
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
  return cases.map(({ name }, index) => ({ name, medianMs: median(samples[index] ?? []) }));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** median of `over` ÷ median of `under` */
export function ratio(timings: readonly Timing[], over: string, under: string, goal?: Ratio["goal"]): Ratio {
  const of = (name: string): number => {
    const timing = timings.find((candidate) => candidate.name === name);
    if (timing === undefined)
      throw new Error(`no timing ${name} among ${timings.map((known) => known.name).join(", ")}`);
    return timing.medianMs;
  };
  return { what: `${over} ÷ ${under}`, value: of(over) / of(under), ...(goal && { goal }) };
}
