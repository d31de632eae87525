import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import type { CommandLine } from "./command-line.ts";
import { noAdapter, openDevice } from "./device.ts";
import { UsageError } from "./errors.ts";
import { drawGrowth, encodePicture } from "./figure.ts";
import { createFit } from "./fit.ts";
import { paintPicture } from "./picture.ts";
import { type Frame, train } from "./train.ts";

/** Trains, and writes the pictures. @returns whether all steps are done: a person may have stopped it */
export async function run({ settings, out }: CommandLine): Promise<boolean> {
  await makeFolder(out);
  const wanted = paintPicture(settings.side, settings.side);
  const opened = await openDevice();
  if (opened === undefined) throw new UsageError(noAdapter);
  const { device, adapterName, close } = opened;
  console.log(`on ${adapterName}`);
  const interruption = catchInterruption();
  try {
    const fit = createFit(device, wanted, settings);
    const frames: Frame[] = [];
    await train(fit, wanted, settings, {
      signal: interruption.signal,
      async onFrame(frame) {
        frames.push(frame);
        await writeFile(join(out, "growth.png"), await drawGrowth(frames, wanted));
        console.log(`step ${frame.step}/${settings.steps} | ${frame.psnr.toFixed(1)} dB | ${pace(frame)}`);
      },
    });
    // The network is a function of any point: its picture has whatever size is asked for.
    await writeFile(join(out, "picture.png"), encodePicture(await fit.draw(256, 256)));
    console.log(`written to ${nearest(out)}: growth.png, picture.png`);
    fit.dispose();
    return frames.at(-1)?.step === settings.steps;
  } finally {
    interruption.stopCatching();
    await close();
  }
}

function pace({ step, seconds }: Frame): string {
  return step === 0
    ? "as it begins"
    : `${seconds.toFixed(1)} s, ${((1000 * seconds) / step).toFixed(1)} ms a step`;
}

/** The path as a person here would write it. */
function nearest(path: string): string {
  const fromHere = relative(process.cwd(), path) || ".";
  return fromHere.startsWith("..") ? path : fromHere;
}

async function makeFolder(out: string): Promise<void> {
  try {
    await mkdir(out, { recursive: true });
  } catch (error) {
    throw new UsageError(`--out ${out}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** The first Ctrl-C lets the step in progress end, and the picture be drawn; a second one ends the process at once. */
function catchInterruption(): { readonly signal: AbortSignal; readonly stopCatching: () => void } {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.once(signal, interrupt);
  const stopCatching = () => signals.forEach((signal) => process.off(signal, interrupt));
  return { signal: interruption.signal, stopCatching };
}
