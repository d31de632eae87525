import { proxy, wrap } from "comlink";
import { createCharts } from "./charts.ts";
import { defaults } from "./controls.ts";
import { createPanel } from "./panel.ts";
import type { Trainer } from "./protocol.ts";
import { drawSamples } from "./samples.ts";

const element = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;
const canvas = element<HTMLCanvasElement>("samples");
const runButton = element<HTMLButtonElement>("run");
const fileInput = element<HTMLInputElement>("file");
const status = element("status");
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
let settled = 0;

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
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `gan-${iteration}.safetensors`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    return `Saved ${link.download}.`;
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

/** Does something that was asked for, and says how it went. The last one has the last word. */
function act(work: () => Promise<string>): void {
  settled += 1;
  const turn = settled;
  work().then(
    (note) => {
      if (turn === settled && note !== "") say(note);
    },
    (error: unknown) => say(error instanceof Error ? error.message : String(error), true),
  );
}

function say(text: string, failed = false): void {
  status.textContent = text;
  status.classList.toggle("failed", failed);
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
  of: (side: { loss: number; lr: number; gradNorm?: number }) => number | undefined,
): Parameters<typeof createCharts>[0][number] {
  return {
    element: element(id),
    output: element<HTMLOutputElement>(`${id}-now`),
    name,
    scale,
    of: (progress, side) => of(progress[side]),
  };
}
