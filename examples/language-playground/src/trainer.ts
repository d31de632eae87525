import { tfjsBackends } from "@mm-examples/gan-playground/choices";
import { type Device, prepareTfjs, startTfjs } from "@mm-examples/gan-playground/tfjs";
import { infoOf } from "@mm-examples/language-model/info";
import type { OptimizerName, Settings } from "@mm-examples/language-model/settings";
import type { Text } from "@mm-examples/language-model/text";
import { createTraining, type Training } from "@mm-examples/language-model/train";
import type { FoundRun, Metrics } from "@mm/optim-train";
import * as tf from "@tensorflow/tfjs-core";
import { type Controls, controlsOf, defaults, hasSize, settingsOf } from "./controls.ts";
import type { Reporter, Trainer } from "./protocol.ts";
import { createShelf, type Shelf } from "./shelf.ts";
import { fetchText } from "./text.ts";

/** Milliseconds between two reports: a page that draws more often has no time for anything else. */
const reportInterval = 80;

/** A training of the program, in a page. */
interface Model {
  readonly training: Training;
  readonly settings: Settings;
  readonly shelf: Shelf;
}

export function createTrainer(): Trainer {
  let text: Text;
  let reporter: Reporter;
  let controls: Controls;
  let model: Model;
  /** The loop of the model. It rests while nobody wants it to train. */
  let loop: Promise<void>;
  let wanted = false;
  /** Of the report before. */
  let reported = { step: 0, seconds: 0, at: 0 };

  const stepsOf = ({ training, settings }: Model): number =>
    Math.floor(training.run.iteration / settings.accumulate);

  /** A model at its beginning, or where a checkpoint leaves it: with the settings given, whatever they were. */
  const build = async (optimizer: OptimizerName, settings: Settings, found?: FoundRun): Promise<Model> => {
    const shelf = createShelf();
    const training: Training = createTraining(optimizer, settings, text, {
      store: shelf.store,
      to: [(iteration, metrics) => report(training, settings, iteration, metrics)],
      onSample: () => reporter.samples(training.samples),
      logEvery: 1,
      looks: Math.ceil(settings.steps / 10),
      writes: Math.ceil(settings.steps / 30),
      validationRows: 32,
      sampleTokens: Math.min(80, 2 * settings.context),
    });
    try {
      if (found) await training.run.resume({ from: found, schedules: "program", hyperparameters: "program" });
      if (training.samples.length === 0) await training.sample();
      return { training, settings, shelf };
    } catch (error) {
      training.dispose();
      throw error;
    }
  };

  const begin = (next: Model): void => {
    model = next;
    const { training } = next;
    const { run } = training;
    reported = { step: stepsOf(next), seconds: run.seconds, at: 0 };
    reporter.samples(training.samples);
    if (!wanted) run.pause();
    loop = training.train().then(
      () => {
        if (model.training !== training || !run.done || !wanted) return;
        wanted = false;
        reporter.finished();
      },
      (error: unknown) => {
        wanted = false;
        reporter.failed(error instanceof Error ? error.message : String(error));
      },
    );
  };

  /** Ends the loop between two steps. */
  const end = async ({ training }: Model): Promise<void> => {
    training.run.stop("another takes its place");
    await loop;
    training.dispose();
  };

  const replaceBy = async (next: Model): Promise<void> => {
    const before = model;
    // Its end is not that of the steps.
    model = next;
    await end(before);
    begin(next);
  };

  const saved = async (): Promise<FoundRun> => {
    const { training, shelf } = model;
    await training.run.save();
    return (await shelf.store.find()) as FoundRun;
  };

  /** The same model on another backend. The one that is left keeps nothing. */
  const move = async (next: Controls): Promise<string> => {
    const found = await saved();
    const { settings } = model;
    await end(model);
    const start = async ({ optimizer, backend }: Controls): Promise<void> => {
      await startTfjs(backend);
      begin(await build(optimizer, settings, found));
    };
    try {
      await start({ ...controls, backend: next.backend });
    } catch (error) {
      await start(controls);
      throw error;
    }
    controls = { ...controls, backend: next.backend };
    return "The model moved along, with the state of its optimizer.";
  };

  /** A line of the run, for the page. */
  const report = (
    { run, optim }: Training,
    settings: Settings,
    iteration: number,
    metrics: Metrics,
  ): void => {
    const step = iteration / settings.accumulate;
    const at = performance.now();
    // A look comes now and then, and none is left out.
    if (at - reported.at < reportInterval && metrics["validation"] === undefined && !run.done) return;
    const milliseconds = (1000 * (run.seconds - reported.seconds)) / (step - reported.step);
    reported = { step, seconds: run.seconds, at };
    const [hidden, , rest] = optim.paramGroups;
    const { loss, validation, bitsPerCharacter, gradNorm, secondsLeft } = metrics;
    reporter.progress({
      iteration: step,
      steps: settings.steps,
      backend: controls.backend,
      milliseconds,
      tokensPerSecond: (1000 * settings.rows * settings.accumulate * settings.context) / milliseconds,
      secondsLeft,
      loss,
      validation,
      bitsPerCharacter,
      gradNorm,
      hiddenLr: hidden.lr,
      lr: rest?.lr ?? Number.NaN,
      tensors: tf.memory().numTensors,
    });
  };

  const apply = async (next: Controls): Promise<string> => {
    if (next.backend !== controls.backend) return move(next);
    const settings = settingsOf(next, model.settings);
    if (next.size !== undefined && !hasSize(model.settings, next.size)) {
      await replaceBy(await build(next.optimizer, settings));
      controls = next;
      return "A model of another size, from its beginning.";
    }
    await model.training.change(next.optimizer, settings);
    const [other, longer] = [next.optimizer !== controls.optimizer, next.steps !== controls.steps];
    if (longer) await replaceBy(await build(next.optimizer, settings, await saved()));
    else model = { ...model, settings };
    controls = next;
    if (other) return "Weights whose rule stays keep their state; the others begin with an empty one.";
    return longer ? `${next.steps} steps in all.` : "";
  };

  /** Requests are done one after the other. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };

  /** Does something while the model rests between two steps. */
  const still = <T>(work: () => Promise<T>): Promise<T> =>
    inTurn(async () => {
      const { run } = model.training;
      run.pause();
      await run.between(() => undefined);
      try {
        return await work();
      } finally {
        if (wanted) model.training.run.unpause();
      }
    });

  return {
    async open(callbacks) {
      reporter = callbacks;
      const [device, fetched] = await Promise.all([prepareTfjs(), fetchText()]);
      text = fetched;
      controls = { ...defaults, backend: device.hasGpu ? "webgpu" : "wasm" };
      await startTfjs(controls.backend);
      begin(await build(controls.optimizer, settingsOf(controls)));
      return { choices: choicesOf(device), controls };
    },
    run: () =>
      inTurn(async () => {
        if (model.training.run.done)
          throw new Error("All steps are done. Give it more of them, or start over.");
        wanted = true;
        await Promise.resolve(model.training.run.unpause());
      }),
    pause() {
      wanted = false;
      return still(() => Promise.resolve(stepsOf(model)));
    },
    apply: (next) => still(() => apply(next)),
    reset: () =>
      still(async () => {
        await replaceBy(await build(controls.optimizer, settingsOf(controls, model.settings)));
      }),
    save: () =>
      still(async () => {
        await saved();
        return model.shelf.newest();
      }),
    load: (file) =>
      still(async () => {
        const found = (await createShelf(file).store.find()) as FoundRun;
        const info = infoOf(found);
        if (info === undefined) throw new Error("This checkpoint is not one of the language model.");
        const { optimizer } = info;
        const settings = { ...info.settings, optimizers: [optimizer] };
        await replaceBy(await build(optimizer, settings, found));
        controls = controlsOf(optimizer, settings, controls.backend);
        return controls;
      }),
  };
}

const choicesOf = ({ lacks }: Device) =>
  tfjsBackends.map((name) => {
    const missing = lacks[name];
    return { name, label: `tfjs-${name}`, ...(missing && { missing }) };
  });
