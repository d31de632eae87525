import { nextBatch } from "@mm-examples/gan-digits/batch";
import { classes, type Digits } from "@mm-examples/gan-digits/digits";
import { discriminatorLoss, generatorLoss } from "@mm-examples/gan-digits/losses";
import {
  createAverage,
  createDiscriminator,
  createGenerator,
  disposeWeights,
  generate,
  generatorInput,
  readWeights,
  updateAverage,
  type Weights,
  writeWeights,
} from "@mm-examples/gan-digits/models";
import { createRandom, type Random, restoreRandom } from "@mm-examples/gan-digits/random";
import * as tf from "@tensorflow/tfjs-core";
import { isPlain, prepareBackends, startBackend } from "./backends.ts";
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { type Controls, defaults } from "./controls.ts";
import { fetchDigits } from "./digits.ts";
import { createOptimizers, type GanOptimizers, type Step } from "./optimizers.ts";
import type { Side } from "./choices.ts";
import type { Reporter, SideProgress, Trainer } from "./protocol.ts";

const batchSize = 32;
const averageDecay = 0.995;
const sampleRows = 6;
/** Milliseconds. Between two reports nothing that the page asks for is heard. */
const reportInterval = 80;
const samplesInterval = 500;
/** Iterations from one report to the next, at most. */
const mostUnreported = 50;

/** A model in training, on one backend of tfjs. */
interface Model {
  readonly generator: Weights;
  readonly discriminator: Weights;
  /** The moving average of the generator that samples are drawn from. */
  readonly average: Weights;
  readonly random: Random;
  readonly optimizers: GanOptimizers;
}

export function createTrainer(): Trainer {
  let digits: Digits;
  let reporter: Reporter;
  let controls = defaults;
  let model: Model;
  let iteration = 0;
  /** Work that needs a model at rest, in order: the loop is one of them, and lets the others in between two iterations. */
  let tail: Promise<unknown> = Promise.resolve();
  const turn = { running: false, waiting: 0 };

  /** Runs `work` when nothing else does. */
  const exclusively = <T>(work: () => Promise<T>): Promise<T> => {
    turn.waiting += 1;
    const done = tail.then(() => {
      turn.waiting -= 1;
      return work();
    });
    tail = done.catch(() => undefined);
    return done;
  };

  const build = async (saved?: Checkpoint): Promise<Model> => {
    const random = saved ? restoreRandom(saved.random) : createRandom(1, "training");
    const initial = saved ? createRandom(1, "training") : random;
    const generator = createGenerator(initial);
    const discriminator = createDiscriminator(initial);
    const average = createAverage(generator);
    try {
      if (saved) {
        writeWeights(generator, saved.generator);
        writeWeights(discriminator, saved.discriminator);
        writeWeights(average, saved.average);
      }
      const optimizers = await createOptimizers({ generator, discriminator }, controls, saved?.optim);
      return { generator, discriminator, average, random, optimizers };
    } catch (error) {
      for (const weights of [generator, discriminator, average]) disposeWeights(weights);
      throw error;
    }
  };

  const disposeModel = ({ optimizers, generator, discriminator, average }: Model): void => {
    optimizers.dispose();
    for (const weights of [generator, discriminator, average]) disposeWeights(weights);
  };

  /** Everything that a model is, as plain data. */
  const snapshot = async (): Promise<Checkpoint> => {
    const { generator, discriminator, average, random, optimizers } = model;
    const optim = optimizers.stateDict?.();
    return {
      iteration,
      controls,
      random: random.state(),
      generator: await readWeights(generator),
      discriminator: await readWeights(discriminator),
      average: await readWeights(average),
      ...(optim && { optim: await optim }),
    };
  };

  /** The same model on another backend. The one that is left keeps nothing. */
  const move = async (next: Controls): Promise<string> => {
    const saved = await snapshot();
    disposeModel(model);
    controls = next;
    await startBackend(next.backend);
    model = await build(saved);
    if (isPlain(next.backend)) return "tf.train.adam starts afresh: it cannot take over a named state.";
    return saved.optim
      ? "The state moved along."
      : "The wrappers start afresh: tf.train.adam has no named state.";
  };

  const iterate = (returnLoss: boolean): Readonly<Record<Side, Step>> => {
    const { generator, discriminator, average, random, optimizers } = model;
    const batch = nextBatch(digits, batchSize, random);
    const networks = { generator, discriminator };
    const discriminated = optimizers.update(
      "discriminator",
      () => discriminatorLoss(networks, batch),
      returnLoss,
    );
    const generated = optimizers.update("generator", () => generatorLoss(networks, batch), returnLoss);
    if (generated.updated) updateAverage(average, generator, averageDecay);
    tf.dispose([batch.real, batch.asked, batch.input]);
    iteration += 1;
    return { generator: generated, discriminator: discriminated };
  };

  /** Waits for the device. */
  const report = async (
    steps: Readonly<Record<Side, Step>>,
    millisecondsPerIteration: () => number,
  ): Promise<void> => {
    const metrics = await model.optimizers.readMetrics();
    const of = async (side: Side): Promise<SideProgress> => {
      const { loss } = steps[side];
      const [value = Number.NaN] = (await loss?.data()) ?? [];
      loss?.dispose();
      return { loss: value, ...metrics[side] };
    };
    const both = { generator: await of("generator"), discriminator: await of("discriminator") };
    const milliseconds = millisecondsPerIteration();
    const { numTensors: tensors } = tf.memory();
    reporter.progress({ ...both, iteration, backend: controls.backend, milliseconds, tensors });
  };

  const showSamples = async (): Promise<void> => {
    const labels = Uint8Array.from({ length: classes * sampleRows }, (_, place) => place % classes);
    const images = tf.tidy(() => generate(model.average, generatorInput(labels, createRandom(1, "samples"))));
    reporter.samples({ images: Float32Array.from(await images.data<"float32">()), columns: classes });
    images.dispose();
  };

  /** Until somebody pauses it or wants the model for something else. */
  const loop = async (): Promise<void> => {
    let samplesAt = performance.now();
    // A device only enqueues: how long that takes, the report before tells.
    let most = 1;
    while (turn.running && turn.waiting === 0) {
      const since = performance.now();
      const elapsed = (): number => performance.now() - since;
      let count = 1;
      while (count < most && elapsed() < reportInterval) {
        iterate(false);
        count += 1;
      }
      const steps = iterate(true);
      await report(steps, () => elapsed() / count);
      most = Math.min(mostUnreported, Math.max(1, Math.round((count * reportInterval) / elapsed())));
      if (performance.now() - samplesAt > samplesInterval) {
        await showSamples();
        samplesAt = performance.now();
      }
      await nextTask();
    }
    if (turn.running) goOn();
  };

  const goOn = (): void => {
    exclusively(loop).catch((error: unknown) => {
      turn.running = false;
      reporter.failed(error instanceof Error ? error.message : String(error));
    });
  };

  return {
    async open(callbacks) {
      reporter = callbacks;
      const choices = await prepareBackends();
      digits = await fetchDigits();
      await startBackend(controls.backend);
      model = await build();
      await showSamples();
      return choices;
    },
    run() {
      if (turn.running) return;
      turn.running = true;
      goOn();
    },
    pause() {
      turn.running = false;
      return exclusively(showSamples);
    },
    apply: (next) =>
      exclusively(async () => {
        if (next.backend !== controls.backend) return move(next);
        const note = await model.optimizers.apply(next);
        controls = next;
        return note;
      }),
    reset: () =>
      exclusively(async () => {
        disposeModel(model);
        iteration = 0;
        model = await build();
        await showSamples();
      }),
    save: () => exclusively(async () => writeCheckpoint(await snapshot())),
    load: (file) =>
      exclusively(async () => {
        const saved = await readCheckpoint(file);
        const before = { model, controls, iteration };
        controls = { ...saved.controls, backend: controls.backend };
        try {
          model = await build(saved);
        } catch (error) {
          ({ controls } = before);
          throw error;
        }
        disposeModel(before.model);
        ({ iteration } = saved);
        await showSamples();
        return controls;
      }),
  };
}

/** Lets messages in. A timer of 0 would wait 4 ms. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener("message", () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(undefined);
  });
}
