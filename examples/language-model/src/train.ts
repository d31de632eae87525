import { createRandom } from "@mm-examples/gan-digits/random";
import { shardOf } from "@mm/optim-distributed";
import { createRun, type MetricsSink, plainState, type Run, type RunOptions } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import { batchAt, drawPlaces } from "./batch.ts";
import { evaluate } from "./evaluate.ts";
import { createModel, type Model } from "./model.ts";
import type { Info } from "./info.ts";
import { createOptim, createSchedule, type LanguageOptim, type Ranks, retune } from "./optim.ts";
import type { OptimizerName, Settings } from "./settings.ts";
import type { Text } from "./text.ts";
import { write } from "./write.ts";

/** The text that was written after so many steps. */
export interface Sample {
  readonly step: number;
  readonly text: string;
}

export interface Training {
  readonly model: Model;
  readonly optim: LanguageOptim;
  readonly run: Run<LanguageOptim>;
  /** All so far, those before a resume included. */
  readonly samples: readonly Sample[];
  /** Writes from the prompt, as of now: between two iterations. */
  sample(): Promise<void>;
  /**
   * Goes on by another optimizer, other rates or another schedule, between two iterations. Weights whose rule stays keep their state.
   * The size of the model, its batches and the steps are those of the beginning.
   */
  change(name: OptimizerName, settings: Settings): Promise<void>;
  /** Trains until all steps are done, or the run is stopped. */
  train(): Promise<void>;
  dispose(): void;
}

interface Options extends Pick<RunOptions, "signal" | "store" | "onSaveError"> {
  readonly to?: readonly MetricsSink[];
  /** Steps between two saves. */
  readonly saveEvery?: number;
  /** Where there are several, all train, and the first evaluates, logs and saves. */
  readonly ranks?: Ranks | undefined;
  /** Steps between two lines of metrics. Default 2: a pace is known after two. */
  readonly logEvery?: number;
  readonly onSample?: (sample: Sample) => void;
  /** Texts that the model is judged by. Default 128. */
  readonly validationRows?: number;
  /** Tokens that it writes. Default 120. */
  readonly sampleTokens?: number;
  /** How often a run is judged, and how often it writes. Default 12 and 4. */
  readonly looks?: number;
  readonly writes?: number;
}

/** A model, its optimizer, and the run that trains it. */
export function createTraining(
  name: OptimizerName,
  settings: Settings,
  text: Text,
  {
    to = [],
    saveEvery,
    ranks,
    onSample,
    validationRows = 128,
    sampleTokens = 120,
    logEvery = 2,
    looks = 12,
    writes = 4,
    ...options
  }: Options = {},
): Training {
  const { steps, rows, accumulate, context, layers, width, seed } = settings;
  const random = createRandom(seed, "training");
  const model = createModel({ vocabulary: text.tokenizer.pieces.length, context, layers, width }, random);
  let optim = createOptim(name, model.weights, settings, ranks);
  let schedule = createSchedule(name, optim, settings);
  // A save reads it, so it says how the run goes on.
  let info: Info = { program: "language-model", optimizer: name, settings };
  const samples = plainState<readonly Sample[]>([]);
  const run = createRun({
    optim,
    schedulers: schedule,
    until: steps * accumulate,
    get info() {
      return info;
    },
    state: {
      samples,
      random: {
        stateDict: () => random.state(),
        loadStateDict: (state) => random.restore(state as readonly number[]),
      },
    },
    log: { every: logEvery * accumulate, to },
    ...(saveEvery !== undefined && { saveEvery: saveEvery * accumulate }),
    ranks,
    ...options,
  });

  const mine = shardOf(rows, ranks ?? { rank: 0, size: 1 });
  const nextBatch = () =>
    batchAt(
      text.training,
      drawPlaces(text.training, rows, context, random).slice(mine.from, mine.to),
      model.sizes,
    );

  /** One of so many parts of the run ends with this step. */
  const ends = (part: number, step: number): boolean =>
    step === Math.round((Math.round((step * part) / steps) * steps) / part);
  const isFirst = (ranks?.rank ?? 0) === 0;

  async function train(): Promise<void> {
    if (isFirst && samples.value.length === 0) await sample();
    for await (const iteration of run) {
      const { input, targets, rows } = nextBatch();
      run.update(() => model.loss(input, targets), { weight: rows });
      tf.dispose([input, targets]);
      const step = iteration / accumulate;
      if (isFirst && ends(looks, step)) await run.untimed(() => look(step));
    }
  }

  /** The averaged weights are judged by the validation text, and write now and then. */
  async function look(step: number): Promise<void> {
    const validation = await optim.evaluating(() => evaluate(model, text.validation, validationRows));
    const bitsPerCharacter = validation / Math.LN2 / text.charactersPerToken;
    run.log({ validation, bitsPerCharacter, seconds: run.seconds });
    if (ends(writes, step)) await sample(step);
  }

  async function sample(step = run.iteration / accumulate): Promise<void> {
    const written = await optim.evaluating(() => write(model, text.tokenizer, seed, sampleTokens));
    samples.value = [...samples.value, { step, text: written }];
    onSample?.({ step, text: written });
  }

  async function change(next: OptimizerName, to: Settings): Promise<void> {
    if (next !== info.optimizer) {
      const other = createOptim(next, model.weights, to, ranks);
      const state = await optim.stateDict();
      await other.loadStateDict(state, { strict: false, restore: { hyperparameters: false } });
      optim.dispose();
      optim = other;
    }
    schedule = retune(next, optim, schedule, to);
    info = { ...info, optimizer: next, settings: to };
    run.use(optim, schedule);
  }

  return {
    model,
    get optim() {
      return optim;
    },
    run,
    get samples() {
      return samples.value;
    },
    sample: () => sample(),
    change,
    train,
    dispose() {
      optim.dispose();
      model.dispose();
    },
  };
}
