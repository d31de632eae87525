import { proxy, wrap } from "comlink";
import { createCharts, type Curves } from "./charts.ts";
import { sides } from "./choices.ts";
import { defaults } from "./controls.ts";
import { createPanel } from "./panel.ts";
import type { Progress, SideProgress, Trainer } from "./protocol.ts";
import { createRequests, download } from "./requests.ts";
import { drawSamples } from "./samples.ts";

const element = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;
const canvas = element<HTMLCanvasElement>("samples");
const runButton = element<HTMLButtonElement>("run");
const fileInput = element<HTMLInputElement>("file");
const { act, say } = createRequests(element("status"));
const buttons = ["run", "reset", "save", "load"].map((id) => element<HTMLButtonElement>(id));

const trainer = wrap<Trainer>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));
const panel = createPanel(element<HTMLFormElement>("controls"), () => act(applyControls));
panel.show(defaults);
const charts = createCharts([
  curves("losses", "Losses", "value", ({ loss }) => loss),
  curves("norms", "Gradient norms", "log", ({ gradNorm }) => gradNorm),
  curves("rates", "Learning rates", "log", ({ lr }) => lr),
]);

let running = false;
let iteration = 0;

act(async () => {
  const choices = await trainer.open(
    proxy({
      progress(progress) {
        showIteration(progress.iteration);
        document.body.dataset["tensors"] = String(progress.tensors);
        charts.add(progress);
        panel.showSpeed(progress.backend, progress.milliseconds);
        const { lossScale, skipped } = progress.generator;
        element("scale-now").textContent =
          lossScale === undefined ? "" : `Loss scale ${lossScale}, ${skipped ?? 0} steps skipped`;
      },
      samples(samples) {
        drawSamples(canvas, samples);
        canvas.setAttribute(
          "aria-label",
          `Digits 0 to 9, six of each, drawn after ${samples.iteration} iterations`,
        );
      },
      failed(message) {
        showRunning(false);
        say(message, true);
      },
    }),
  );
  panel.offerBackends(choices);
  const missing = new Set(choices.flatMap((choice) => choice.missing ?? []));
  for (const button of buttons) button.disabled = false;
  return missing.size === 0 ? "Ready." : `Ready. ${[...missing].join(". ")}; everything else works.`;
});

runButton.addEventListener("click", () =>
  act(async () => {
    showRunning(!running);
    if (running) {
      await trainer.run();
      return "Training.";
    }
    showIteration(await trainer.pause());
    return `Paused after ${iteration} iterations.`;
  }),
);
element("reset").addEventListener("click", () =>
  act(async () => {
    await trainer.reset();
    iteration = 0;
    charts.clear();
    return "Started over, with the controls as they are.";
  }),
);
element("save").addEventListener("click", () =>
  act(async () => {
    const file = await trainer.save();
    const name = `gan-${iteration}.safetensors`;
    download(file, name);
    return `Saved ${name}.`;
  }),
);
element("load").addEventListener("click", () => fileInput.click());
fileInput.addEventListener("change", () =>
  act(async () => {
    const [file] = fileInput.files ?? [];
    fileInput.value = "";
    if (file === undefined) return "";
    panel.show(await trainer.load(file));
    charts.clear();
    return `Loaded ${file.name}.`;
  }),
);

function applyControls(): Promise<string> {
  return trainer.apply(panel.read());
}

function showIteration(now: number): void {
  iteration = now;
  document.body.dataset["iteration"] = String(now);
}

function showRunning(now: boolean): void {
  running = now;
  runButton.textContent = now ? "Pause" : "Train";
}

function curves(
  id: string,
  name: string,
  scale: "value" | "log",
  of: (side: SideProgress) => number | undefined,
): Curves<Progress> {
  return {
    element: element(id),
    output: element<HTMLOutputElement>(`${id}-now`),
    description: `${name} of generator and discriminator over the iterations`,
    scale,
    lines: sides.map((side) => ({
      name: side,
      dashed: side === "discriminator",
      of: (progress) => of(progress[side]),
    })),
  };
}
