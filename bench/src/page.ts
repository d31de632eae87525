import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium, type Page } from "playwright";
import { build, preview } from "vite";
import { type Effort, median, type Section, type Timing } from "./measure.ts";

const executablePath = "/usr/bin/chromium";
const root = fileURLToPath(new URL("../../examples/gan-playground/", import.meta.url));
const backends = ["wasm", "webgl", "webgpu"] as const;
const choices = backends.flatMap((backend) => [
  { name: backend, label: `tfjs-${backend}, fused steps` },
  { name: `${backend}-plain`, label: `tfjs-${backend}, tf.train.adam` },
]);

/** The playground in Chromium: what an iteration takes on each backend, and what the page's own thread notices of it. */
export async function page({ smoke }: Effort): Promise<readonly Section[]> {
  if (!existsSync(executablePath)) {
    console.log(`not run: the playground (no Chromium at ${executablePath})`);
    return [];
  }
  await build({ root, logLevel: "error" });
  const server = await preview({ root, logLevel: "error", preview: { port: 0, host: "127.0.0.1" } });
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  });
  try {
    const opened = await browser.newPage();
    // The first iteration on a backend compiles its shaders, in software.
    opened.setDefaultTimeout(180_000);
    await opened.goto(server.resolvedUrls?.local[0] as string);
    await opened.locator("#run:enabled").click();
    await observeLongTasks(opened);
    const samples = new Map<string, number[]>(choices.map(({ name }) => [name, []]));
    // In turn, so that a change of the machine's speed meets all alike.
    for (let round = 0; round < (smoke ? 1 : 2); round += 1) {
      for (const { name } of choices) samples.get(name)?.push(...(await visit(opened, name, smoke ? 1 : 8)));
    }
    const longTasks = await opened.evaluate(
      () => (globalThis as unknown as { longTasks: number[] }).longTasks,
    );
    const milliseconds = (name: string): number => median(samples.get(name) ?? []);
    const timings = choices.map(({ name, label }): Timing => ({ name: label, medianMs: milliseconds(name) }));
    const longest = Math.round(Math.max(0, ...longTasks));
    return [
      {
        title: "The GAN playground in Chromium, one iteration of both networks",
        about: `Batches of 32; WebGL and WebGPU are SwiftShader, a CPU. Forward and backward pass are in it, so these ratios are smaller than those of steps alone. While it ran, the page's own thread had ${longTasks.length} tasks of more than 50 ms, the longest of ${longest} ms: drawing and charts, no training.`,
        timings,
        ratios: backends.map((backend) => ({
          what: `tf.train.adam ÷ fused steps, tfjs-${backend}`,
          value: milliseconds(`${backend}-plain`) / milliseconds(backend),
        })),
      },
    ];
  } finally {
    await browser.close();
    await server.close();
  }
}

async function observeLongTasks(opened: Page): Promise<void> {
  await opened.evaluate(() => {
    const longTasks: number[] = [];
    Object.assign(globalThis, { longTasks });
    new PerformanceObserver((list) =>
      longTasks.push(...list.getEntries().map(({ duration }) => duration)),
    ).observe({
      type: "longtask",
    });
  });
}

/** Changes to a backend and takes so many of the figures that the page shows, without the first, which has the warm-up in it. */
async function visit(opened: Page, name: string, count: number): Promise<readonly number[]> {
  // Absent until the first iteration is done.
  const iteration = () => opened.evaluate(() => Number(document.body.dataset["iteration"] ?? 0));
  await opened.locator(`input[value=${name}]`).check();
  await opened.getByText(/^The state moved along|starts? afresh|^Training/).waitFor();
  const values: number[] = [];
  for (let report = -1; report < count; report += 1) {
    const before = await iteration();
    await opened.waitForFunction((seen) => Number(document.body.dataset["iteration"]) > seen, before);
    const shown = await opened.locator(`[data-speed=${name}]`).textContent();
    if (report >= 0) values.push(Number(shown));
  }
  return values;
}
