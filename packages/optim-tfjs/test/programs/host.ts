// Runs on several versions of tfjs, and prints the numbers: see ../versions.test.ts.
import "@tensorflow/tfjs-backend-cpu";
import { createOptimWrapper, isOptimError } from "@mm/optim-core";
import { adamw, sgd } from "@mm/optim-rules";
import {
  registerTfOptimizer,
  tfjsOptimizer,
  type TfjsOptimizerOptions,
  type TfjsWrapper,
  toTfOptimizer,
} from "@mm/optim-tfjs";
import * as tf from "@tensorflow/tfjs-core";
import * as tfl from "@tensorflow/tfjs-layers";

tf.enableProdMode();

/** SGD with momentum ½ on Σ w², three steps from 1 and −2, saved after the second and loaded into another wrapper. */
async function stepAndResume(options: TfjsOptimizerOptions): Promise<readonly number[]> {
  const w = tf.variable(tf.tensor1d([1, -2]));
  const create = () =>
    createOptimWrapper(tfjsOptimizer(sgd({ lr: 0.25, momentum: 0.5 }), { w }, options), {
      clipGrad: { maxNorm: 100 },
      lossScale: 8,
    });
  const loss = (): tf.Scalar => tf.sum(tf.square(w));
  const first = create();
  first.updateParams(loss);
  first.updateParams(loss);
  const second = create();
  await second.loadStateDict(await first.stateDict());
  second.updateParams(loss);
  return [...w.dataSync()];
}

/** The same with an optimizer of tfjs itself inside. */
function native(): readonly number[] {
  const w = tf.variable(tf.tensor1d([1, -2]));
  const optim = createOptimWrapper(tfjsOptimizer(tf.train.sgd(0.25), { w }), { accumulativeCounts: 2 });
  for (let call = 0; call < 2; call += 1) optim.updateParams(() => tf.sum(tf.square(w)));
  return [...w.dataSync()];
}

const create = (variables: readonly tf.Variable[]): TfjsWrapper =>
  createOptimWrapper(tfjsOptimizer(adamw({ lr: 0.05 }), variables), { accumulativeCounts: 2 });
const [x, y] = [tf.tensor2d([[1], [2], [3]]), tf.tensor2d([[2], [4], [6]])];

function line(): tfl.Sequential {
  const kernelInitializer = tfl.initializers.constant({ value: 0.5 });
  const model = tfl.sequential({
    layers: [tfl.layers.dense({ units: 1, inputShape: [1], kernelInitializer })],
  });
  model.compile({ optimizer: toTfOptimizer(create), loss: "meanSquaredError" });
  return model;
}

const settings = { batchSize: 1, shuffle: false, verbose: 0 } as const;
const fit = async (model: tfl.LayersModel, epochs: number): Promise<unknown> =>
  model.fit(x, y, { ...settings, epochs });
const values = (model: tfl.LayersModel): readonly number[] =>
  model.getWeights().flatMap((weight) => [...weight.dataSync()]);

async function loaded(artifacts: tf.io.ModelArtifacts): Promise<tfl.LayersModel> {
  return tfl.loadLayersModel(tf.io.fromMemory(artifacts));
}

/** Whole, and saved in mid-window and loaded: with another copy's table of classes, and with that of `tf`. */
async function fitAndReload(): Promise<object> {
  const [whole, model] = [line(), line()];
  await fit(whole, 5);
  await fit(model, 3);
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler((artifacts) => {
      saved = artifacts;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } });
    }),
    { includeOptimizer: true },
  );
  const artifacts = saved as tf.io.ModelArtifacts;
  registerTfOptimizer(create);
  const withoutCopy = await loaded(artifacts).then(
    () => "loaded",
    (error: unknown) => /OptimWrapper/.test(String(error)),
  );
  registerTfOptimizer(create, { tf });
  const again = await loaded(artifacts);
  await fit(again, 2);
  return { whole: values(whole), again: values(again), withoutCopy };
}

/** A variable joins in a call without a list, and one is disposed. */
function joining(): readonly number[] {
  const [a, b] = [tf.variable(tf.scalar(1)), tf.variable(tf.scalar(2))];
  const optimizer = toTfOptimizer((list) => createOptimWrapper(tfjsOptimizer(sgd({ lr: 1 }), list)));
  optimizer.minimize(() => tf.mul(a, 2));
  optimizer.minimize(() => tf.add(a, tf.mul(b, 3)));
  a.dispose();
  optimizer.minimize(() => tf.mul(b, 3));
  return [...b.dataSync()];
}

async function found(): Promise<object> {
  await tf.setBackend("cpu");
  const probe = tfjsOptimizer(sgd(), [tf.variable(tf.scalar(1))]);
  const refused = (() => {
    try {
      tfjsOptimizer(sgd(), [tf.scalar(1) as tf.Variable]);
      return undefined;
    } catch (error) {
      return isOptimError(error) ? error.code : error;
    }
  })();
  return {
    version: tf.version_core,
    inPlace: probe.capabilities.inPlace,
    isOptimizer: toTfOptimizer(create) instanceof tf.Optimizer,
    refused,
    auto: await stepAndResume({}),
    ops: await stepAndResume({ lowering: "ops" }),
    native: native(),
    joining: joining(),
    ...(await fitAndReload()),
  };
}

void found().then((numbers) => process.stdout.write(JSON.stringify(numbers)));
