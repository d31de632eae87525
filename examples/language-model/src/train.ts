import { createRandom } from "@mm-examples/gan-digits/random";
import { shardOf } from "@mm/optim-distributed";
import { createRun, type MetricsSink, plainState, type Run, type RunOptions } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import { batchAt, drawPlaces } from "./batch.ts";
import { evaluate } from "./evaluate.ts";
import { createModel, type Model } from "./model.ts";
import { createOptim, createSchedule, type LanguageOptim, type Ranks } from "./optim.ts";
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
    ...options
  }: Options = {},
): Training {
  const { steps, rows, accumulate, context, layers, width, seed } = settings;
  const random = createRandom(seed, "training");
  const model = createModel({ vocabulary: text.tokenizer.pieces.length, context, layers, width }, random);
  const optim = createOptim(name, model.weights, settings, ranks);
  const samples = plainState<readonly Sample[]>([]);
  const run = createRun({
    optim,
    schedulers: createSchedule(name, optim, settings),
    until: steps * accumulate,
    info: { program: "language-model", optimizer: name, settings },
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

  /** A twelfth of the run, or a quarter, ends with this step. */
  const ends = (part: number, step: number): boolean =>
    step === Math.round((Math.round((step * part) / steps) * steps) / part);
  const isFirst = (ranks?.rank ?? 0) === 0;

  async function train(): Promise<void> {
    if (isFirst && run.iteration === 0) await sample(0);
    for await (const iteration of run) {
      const { input, targets, rows } = nextBatch();
      run.update(() => model.loss(input, targets), { weight: rows });
      tf.dispose([input, targets]);
      const step = iteration / accumulate;
      if (isFirst && ends(12, step)) await run.untimed(() => look(step));
    }
  }

  /** The averaged weights are judged by the validation text, and write now and then. */
  async function look(step: number): Promise<void> {
    const validation = await optim.evaluating(() => evaluate(model, text.validation, validationRows));
    const bitsPerCharacter = validation / Math.LN2 / text.charactersPerToken;
    run.log({ validation, bitsPerCharacter, seconds: run.seconds });
    if (ends(4, step)) await sample(step);
  }

  async function sample(step: number): Promise<void> {
    const written = await optim.evaluating(() => write(model, text.tokenizer, seed, sampleTokens));
    samples.value = [...samples.value, { step, text: written }];
    onSample?.({ step, text: written });
  }

  return {
    model,
    optim,
    run,
    get samples() {
      return samples.value;
    },
    train,
    dispose() {
      optim.dispose();
      model.dispose();
    },
  };
}
