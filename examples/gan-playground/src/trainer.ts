import { nextBatch } from "@mm-examples/gan-digits/batch";
import { classes, type Digits } from "@mm-examples/gan-digits/digits";
import { discriminatorLoss, generatorLoss } from "@mm-examples/gan-digits/losses";
import {
  createDiscriminator,
  createGenerator,
  disposeWeights,
  generate,
  generatorInput,
  readWeights,
  type Weights,
  writeWeights,
} from "@mm-examples/gan-digits/models";
import { createRandom, type Random, restoreRandom } from "@mm-examples/gan-digits/random";
import { createRun, type Metrics, type Run } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import { isPlain, prepareBackends, startBackend } from "./backends.ts";
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { type Controls, defaults } from "./controls.ts";
import { fetchDigits } from "./digits.ts";
import { applyControls, createOptim, type GanOptim } from "./optimizers.ts";
import { createPlainAdam, type PlainAdam } from "./plain-adam.ts";
import type { Side } from "./choices.ts";
import type { Reporter, SideProgress, Trainer } from "./protocol.ts";

const batchSize = 32;
const sampleRows = 6;
/** Milliseconds. */
const reportInterval = 80;
const samplesInterval = 500;

/** A model in training, on one backend of tfjs. */
interface Model {
  readonly generator: Weights;
  readonly discriminator: Weights;
  readonly random: Random;
  /** Our optimizers. Where tfjs's own train, these rest. */
  readonly optim: GanOptim;
  readonly plain: PlainAdam | undefined;
}

export function createTrainer(): Trainer {
  let digits: Digits;
  let reporter: Reporter;
  let controls = defaults;
  let model: Model;
  /** One loop for the life of the page. Every request runs between two of its iterations. */
  let run: Run<GanOptim>;
  /** Where the model stood when it came into the run. */
  let start = { iteration: 0, at: 0 };
  /** Of the report before. */
  let reported = { iteration: 0, seconds: 0 };
  let norms: { [S in Side]?: number | undefined } = {};
  let samplesAt = 0;

  const iterationOf = (iteration: number): number => start.iteration + iteration - start.at;

  const build = async (saved?: Checkpoint): Promise<Model> => {
    const random = saved ? restoreRandom(saved.random) : createRandom(1, "training");
    const initial = saved ? createRandom(1, "training") : random;
    const generator = createGenerator(initial);
    const discriminator = createDiscriminator(initial);
    const networks = { generator, discriminator };
    try {
      if (saved) {
        writeWeights(generator, saved.generator);
        writeWeights(discriminator, saved.discriminator);
      }
      const optim = await createOptim(networks, controls, saved?.optim);
      const plain = isPlain(controls.backend) ? createPlainAdam(networks, controls) : undefined;
      return { generator, discriminator, random, optim, plain };
    } catch (error) {
      for (const weights of [generator, discriminator]) disposeWeights(weights);
      throw error;
    }
  };

  const disposeModel = ({ optim, plain, generator, discriminator }: Model): void => {
    optim.dispose();
    plain?.dispose();
    for (const weights of [generator, discriminator]) disposeWeights(weights);
  };

  /** From now on the run trains this one. */
  const take = (next: Model, iteration: number): void => {
    model = next;
    run.use(next.optim);
    start = { iteration, at: run.iteration };
    norms = {};
  };

  /** Everything that a model is, as plain data. */
  const snapshot = async (): Promise<Checkpoint> => {
    const { generator, discriminator, random, optim, plain } = model;
    const state = plain ? undefined : optim.stateDict();
    return {
      iteration: iterationOf(run.iteration),
      controls,
      random: random.state(),
      generator: await readWeights(generator),
      discriminator: await readWeights(discriminator),
      ...(state && { optim: await state }),
    };
  };

  /** The same model on another backend. The one that is left keeps nothing. */
  const move = async (next: Controls): Promise<string> => {
    const saved = await snapshot();
    disposeModel(model);
    controls = next;
    await startBackend(next.backend);
    take(await build(saved), saved.iteration);
    if (isPlain(next.backend)) return "tf.train.adam starts afresh: it cannot take over a named state.";
    return saved.optim
      ? "The state moved along."
      : "The wrappers start afresh: tf.train.adam has no named state.";
  };

  /** A line of the run, for the page. */
  const report = async (iteration: number, metrics: Metrics): Promise<void> => {
    const losses = await model.plain?.readLosses();
    const of = (side: Side): SideProgress => {
      const number = (name: string): number | undefined => metrics[`${side}.${name}`];
      // An iteration that only accumulates has no norm of its own.
      const gradNorm = (norms[side] = number("gradNorm") ?? norms[side]);
      return {
        loss: losses?.[side] ?? number("loss") ?? Number.NaN,
        lr: number("lr") as number,
        ...(gradNorm !== undefined && { gradNorm }),
        ...(controls.scaling && { lossScale: number("lossScale") ?? 1, skipped: number("skipped") ?? 0 }),
      };
    };
    const { seconds } = run;
    const milliseconds = (1000 * (seconds - reported.seconds)) / (iteration - reported.iteration);
    reported = { iteration, seconds };
    reporter.progress({
      generator: of("generator"),
      discriminator: of("discriminator"),
      iteration: iterationOf(iteration),
      backend: controls.backend,
      milliseconds,
      tensors: tf.memory().numTensors,
    });
    if (performance.now() - samplesAt > samplesInterval) await run.untimed(showSamples);
  };

  /** Digits of the average, which stands in the generator meanwhile; `tf.train.adam` has none. */
  const showSamples = async (): Promise<void> => {
    const { generator, optim, plain } = model;
    const labels = Uint8Array.from({ length: classes * sampleRows }, (_, place) => place % classes);
    const draw = async (): Promise<Float32Array> => {
      const images = tf.tidy(() => generate(generator, generatorInput(labels, createRandom(1, "samples"))));
      const values = Float32Array.from(await images.data<"float32">());
      images.dispose();
      return values;
    };
    const images = plain ? await draw() : await optim.get("generator").evaluating(draw);
    reporter.samples({ images, columns: classes, iteration: iterationOf(run.iteration) });
    samplesAt = performance.now();
  };

  const train = async (): Promise<void> => {
    for await (const _ of run) {
      const { generator, discriminator, random, plain } = model;
      const networks = { generator, discriminator };
      const batch = nextBatch(digits, batchSize, random);
      const update = (side: Side, loss: () => tf.Scalar): void =>
        void (plain ? plain.update(side, loss) : run.update(side, loss));
      update("discriminator", () => discriminatorLoss(networks, batch));
      update("generator", () => generatorLoss(networks, batch));
      tf.dispose([batch.real, batch.asked, batch.input]);
    }
  };

  /** A run that waits for somebody to go on with it. After an error a new one takes its place. */
  const begin = (iteration: number): void => {
    run = createRun({ optim: model.optim, log: { ms: reportInterval, to: report } });
    run.pause();
    start = { iteration, at: 0 };
    reported = { iteration: 0, seconds: 0 };
    train().catch((error: unknown) => {
      begin(iterationOf(run.iteration));
      reporter.failed(error instanceof Error ? error.message : String(error));
    });
  };

  /** Runs `work` between two iterations, which is no time of training. */
  const between = <T>(work: () => Promise<T>): Promise<T> =>
    run.between(async () => {
      const result = await work();
      reported = { iteration: run.iteration, seconds: run.seconds };
      return result;
    });

  return {
    async open(callbacks) {
      reporter = callbacks;
      const choices = await prepareBackends();
      digits = await fetchDigits();
      await startBackend(controls.backend);
      model = await build();
      begin(0);
      await between(showSamples);
      return choices;
    },
    run: () => run.unpause(),
    pause() {
      run.pause();
      return between(async () => {
        await showSamples();
        return iterationOf(run.iteration);
      });
    },
    apply: (next) =>
      between(async () => {
        if (next.backend !== controls.backend) return move(next);
        const { optim, note } = await applyControls(model.optim, model, controls, next);
        model = { ...model, optim };
        run.use(optim);
        controls = next;
        return note;
      }),
    reset: () =>
      between(async () => {
        disposeModel(model);
        take(await build(), 0);
        await showSamples();
      }),
    save: () => between(async () => writeCheckpoint(await snapshot())),
    load: (file) =>
      between(async () => {
        const saved = await readCheckpoint(file);
        const before = { model, controls };
        controls = { ...saved.controls, backend: controls.backend };
        try {
          take(await build(saved), saved.iteration);
        } catch (error) {
          ({ controls } = before);
          throw error;
        }
        disposeModel(before.model);
        await showSamples();
        return controls;
      }),
  };
}
