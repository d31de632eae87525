import { createCharts } from "@mm-examples/gan-playground/charts";
import { createRequests, download } from "@mm-examples/gan-playground/requests";
import { labels } from "@mm-examples/language-model/labels";
import { prompt } from "@mm-examples/language-model/settings";
import type { Sample } from "@mm-examples/language-model/train";
import { proxy, wrap } from "comlink";
import { defaults } from "./controls.ts";
import { createPanel } from "./panel.ts";
import type { Progress, Trainer } from "./protocol.ts";

const element = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;
const runButton = element<HTMLButtonElement>("run");
const fileInput = element<HTMLInputElement>("file");
const bar = element<HTMLProgressElement>("bar");
const buttons = ["run", "reset", "save", "load"].map((id) => element<HTMLButtonElement>(id));
const { act, say } = createRequests(element("status"));

const trainer = wrap<Trainer>(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));
const panel = createPanel(element<HTMLFormElement>("controls"), () => act(() => trainer.apply(panel.read())));
panel.show(defaults);
const charts = createCharts<Progress>([
  {
    element: element("losses"),
    output: element<HTMLOutputElement>("losses-now"),
    description: "Losses in nats a token, of training and of validation, over the steps",
    scale: "value",
    fitted: true,
    lines: [
      { name: "training", of: ({ loss }) => loss },
      { name: "validation", marked: true, of: ({ validation }) => validation },
    ],
  },
  {
    element: element("rates"),
    output: element<HTMLOutputElement>("rates-now"),
    description: "Learning rates of the hidden matrices and of all other weights, over the steps",
    scale: "value",
    lines: [
      { name: "hidden", color: "training", of: ({ hiddenLr }) => hiddenLr },
      { name: "others", color: "validation", dashed: true, of: ({ lr }) => lr },
    ],
  },
  {
    element: element("norms"),
    output: element<HTMLOutputElement>("norms-now"),
    description: "Gradient norm before it is clipped, over the steps",
    scale: "value",
    lines: [{ name: "all weights", color: "training", of: ({ gradNorm }) => gradNorm }],
  },
]);

let running = false;
let steps = 0;
let bitsPerCharacter: number | undefined;

act(async () => {
  const { choices, controls } = await trainer.open(
    proxy({
      progress(progress) {
        showSteps(progress.iteration);
        bar.max = progress.steps;
        document.body.dataset["tensors"] = String(progress.tensors);
        if (progress.loss !== undefined) document.body.dataset["loss"] = String(progress.loss);
        charts.add(progress);
        panel.showSpeed(progress.backend, progress.milliseconds);
        element("now").textContent = describe(progress);
      },
      samples: showSamples,
      finished() {
        showRunning(false);
        say("All steps are done.");
      },
      failed(message) {
        showRunning(false);
        say(message, true);
      },
    }),
  );
  panel.offerBackends(choices);
  panel.show(controls);
  const missing = new Set(choices.flatMap((choice) => choice.missing ?? []));
  for (const button of buttons) button.disabled = false;
  return missing.size === 0 ? "Ready." : `Ready. ${[...missing].join(". ")}; everything else works.`;
});

runButton.addEventListener("click", () =>
  act(async () => {
    if (running) {
      showRunning(false);
      showSteps(await trainer.pause());
      return `Paused after ${steps} steps.`;
    }
    await trainer.run();
    showRunning(true);
    return "Training.";
  }),
);
element("reset").addEventListener("click", () =>
  act(async () => {
    await trainer.reset();
    showAnew();
    return "Started over, with the controls as they are.";
  }),
);
element("size").addEventListener("change", showAnew);
element("save").addEventListener("click", () =>
  act(async () => {
    const file = await trainer.save();
    const name = `language-model-${steps}.safetensors`;
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
    const controls = await trainer.load(file);
    panel.show(controls);
    showAnew();
    return `Loaded ${file.name}: ${labels[controls.optimizer]}.`;
  }),
);

function describe(progress: Progress): string {
  bitsPerCharacter = progress.bitsPerCharacter ?? bitsPerCharacter;
  const { iteration, tokensPerSecond, secondsLeft } = progress;
  const parts = [
    `step ${iteration} of ${progress.steps}`,
    bitsPerCharacter !== undefined && `${bitsPerCharacter.toFixed(2)} bits a character`,
    `${Math.round(tokensPerSecond)} tokens/s`,
    secondsLeft !== undefined && `${Math.ceil(secondsLeft)} s left`,
  ];
  return parts.filter((part) => part !== false).join(" · ");
}

/** The newest first; before it was trained, a model writes from the prompt as well. */
function showSamples(samples: readonly Sample[]): void {
  const newestFirst = samples.toReversed().map(({ step, text }) => {
    const item = document.createElement("li");
    const when = document.createElement("h3");
    when.textContent = step === 0 ? "before the first step" : `after ${step} steps`;
    const written = document.createElement("p");
    const given = document.createElement("b");
    given.textContent = prompt;
    written.append(given, text.slice(prompt.length));
    item.append(when, written);
    return item;
  });
  element("samples").replaceChildren(...newestFirst);
}

function showAnew(): void {
  charts.clear();
  bitsPerCharacter = undefined;
  showSteps(0);
  element("now").textContent = "";
}

function showSteps(now: number): void {
  steps = now;
  bar.value = now;
  document.body.dataset["iteration"] = String(now);
}

function showRunning(now: boolean): void {
  running = now;
  runButton.textContent = now ? "Pause" : "Train";
}
