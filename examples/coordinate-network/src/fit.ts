import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adam, type AdamHyperparameters } from "@mm/optim-rules";
import { createArena, webgpuOptimizer, type WebgpuLoss } from "@mm/optim-webgpu";
import { floats, read, write } from "./buffers.ts";
import {
  createBackward,
  createForward,
  drawFrequencies,
  drawParameters,
  parameterLengths,
  type ParameterName,
} from "./network.ts";
import { pixelColours, pixelPoints, type Picture } from "./picture.ts";
import { createRandom, type Random } from "./random.ts";
import type { Settings } from "./settings.ts";

type Loss = WebgpuLoss<ParameterName>;

/** A network that learns a picture, and the optimizer that teaches it. */
export interface Fit {
  readonly optim: OptimWrapper<Loss, undefined, AdamHyperparameters>;
  /** Points are drawn with it. */
  readonly random: Random;
  /** Uploads points that are drawn at random from the picture. @returns what records how wrong the network is there, backwards */
  nextBatch(): Loss;
  /** The whole picture as the network sees it now, in any size. Waits for the device. */
  draw(width: number, height: number): Promise<Picture>;
  dispose(): void;
}

export function createFit(device: GPUDevice, picture: Picture, settings: Settings): Fit {
  const random = createRandom(settings.seed);
  const drawnFrequencies = drawFrequencies(random);
  const frequencies = floats(device, "frequencies", drawnFrequencies.length);
  write(device, frequencies, drawnFrequencies);

  // Six parameters, one buffer: a step updates them all in one dispatch, and would 600.
  const parameters = createArena(device, parameterLengths);
  const initial = drawParameters(random);
  for (const name of namesOf(parameters)) write(device, parameters[name], initial[name]);
  const optim = createOptimWrapper(
    webgpuOptimizer(adam({ lr: settings.lr, betas: [0.9, 0.99] }), parameters, { device }),
    {
      accumulativeCounts: settings.accumulate,
      clipGrad: { maxNorm: settings.clipNorm },
      ...(settings.lossScale !== undefined && { lossScale: settings.lossScale }),
    },
  );

  const weights = { frequencies, parameters };
  const forward = createForward(device, settings.batch, weights);
  const backward = createBackward(device, settings.batch, weights, forward);
  const canvas = createForward(device, canvasPoints, weights);

  return {
    optim,
    random,
    nextBatch() {
      const pixels = Uint32Array.from({ length: settings.batch }, () =>
        random.integer(picture.width * picture.height),
      );
      write(device, forward.points, pixelPoints(picture, pixels));
      write(device, backward.wanted, pixelColours(picture, pixels));
      return ({ encoder, grad, scale }) => {
        const pass = encoder.beginComputePass();
        forward.record(pass);
        backward.record(pass, grad, scale);
        pass.end();
        return undefined;
      };
    },
    async draw(width, height) {
      const count = width * height;
      const colours = new Float32Array(3 * count);
      for (let start = 0; start < count; start += canvasPoints) {
        // Those below the last row are drawn too, and not kept.
        const pixels = Uint32Array.from({ length: canvasPoints }, (_, i) => start + i);
        write(device, canvas.points, pixelPoints({ width, height }, pixels));
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        canvas.record(pass);
        pass.end();
        device.queue.submit([encoder.finish()]);
        const drawn = await read(device, canvas.colours);
        for (let channel = 0; channel < 3; channel++) {
          const kept = drawn
            .subarray(channel * canvasPoints)
            .subarray(0, Math.min(canvasPoints, count - start));
          colours.set(kept, channel * count + start);
        }
      }
      return { width, height, colours };
    },
    dispose() {
      optim.dispose();
      forward.dispose();
      backward.dispose();
      canvas.dispose();
      frequencies.buffer.destroy();
      parameters.weight1.buffer.destroy(); // the one of all six
    },
  };
}

/** Points that are drawn at a time. */
const canvasPoints = 64 * 64;

const namesOf = <K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] =>
  Object.keys(record) as K[];
