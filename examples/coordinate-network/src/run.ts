import { mkdir, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import type { FoundRun, SavedRun } from "@mm/optim-train";
import { stopSignal } from "@mm/optim-train/node";
import type { CommandLine } from "./command-line.ts";
import { noAdapter, openDevice } from "./device.ts";
import { UsageError } from "./errors.ts";
import { drawGrowth, encodePicture } from "./figure.ts";
import { createFit } from "./fit.ts";
import type { Frame } from "./frames.ts";
import { paintPicture } from "./picture.ts";
import type { Settings } from "./settings.ts";
import { createTraining } from "./train.ts";

/** Trains, and writes the pictures. @returns whether all steps are done: a person may have stopped it */
export async function run({ settings: given, out, resume }: CommandLine): Promise<boolean> {
  await makeFolder(out);
  const store = checkpointStore<SavedRun>(openCheckpoints(out));
  const found = resume ? await store.find() : undefined;
  if (resume && found === undefined) throw new UsageError(`no checkpoint in ${out}`);
  const settings = found ? settingsOf(found) : given;
  const wanted = paintPicture(settings.side, settings.side);
  const opened = await openDevice();
  if (opened === undefined) throw new UsageError(noAdapter);
  const { device, adapterName, close } = opened;
  console.log(`on ${adapterName}`);
  const signal = stopSignal();
  try {
    const fit = createFit(device, wanted, settings);
    const { run, frames, train } = createTraining(fit, wanted, settings, {
      signal,
      store,
      async onFrame(frame) {
        await writeFile(join(out, "growth.png"), await drawGrowth(frames.all, wanted));
        console.log(`step ${frame.step}/${settings.steps} | ${frame.psnr.toFixed(1)} dB | ${pace(frame)}`);
      },
    });
    if (found) await run.resume({ from: found });
    await train();
    // The network is a function of any point: its picture has whatever size is asked for.
    await writeFile(join(out, "picture.png"), encodePicture(await fit.draw(256, 256)));
    console.log(`written to ${nearest(out)}: growth.png, picture.png`);
    if (!run.done) console.log(`go on with: --resume --out ${nearest(out)}`);
    fit.dispose();
    return run.done;
  } finally {
    signal.dispose();
    await close();
  }
}

/** A run goes on with the settings that it was started with. @throws UsageError for a checkpoint of another program */
function settingsOf({ run }: Pick<FoundRun, "run">): Settings {
  const { program, settings } = Object((Object(run) as SavedRun).info) as {
    readonly program?: unknown;
    readonly settings: Settings;
  };
  if (program !== "coordinate-network") throw new UsageError("the checkpoint is one of another program");
  return settings;
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
