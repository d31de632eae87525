import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeCheckpoint } from "@mm/optim-checkpoint";
import type { OptimWrapperStateDict } from "@mm/optim-core";
import type { FoundRun } from "@mm/optim-train";
import { startBackend } from "@mm-examples/gan-digits/backend";
import axe from "axe-core";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSite, pause, type Site, trainTo } from "../../../gan-playground/test/page/site.ts";
import { findRuns } from "../../../language-model/src/checkpoint.ts";
import { completeSettings, type OptimizerName } from "../../../language-model/src/settings.ts";
import { createTraining } from "../../../language-model/src/train.ts";
import { text, trained } from "../../../language-model/test/trained.ts";
import { sizes } from "../../src/controls.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "language-playground-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A folder for pictures of the page in all four looks: `pnpm screenshots`. */
const screenshots = process.env["SCREENSHOTS"];

describe("with WebGPU", () => {
  let site: Site;
  beforeAll(() => startBackend("wasm"));
  beforeAll(async () => void (site = await openSite(root, { webgpu: true })));
  afterAll(() => site.close());

  test("on wasm, which it takes where the adapter is in software, the curve falls and the text changes", async () => {
    const { page, errors } = await site.open();
    expect(await page.locator("input[value=wasm]").isChecked()).toBe(true);
    await choose(page, { size: "half", steps: 60 });
    const [before] = await page.locator("#samples p").allTextContents();
    await trainTo(page, 10);
    const tensors = await page.getAttribute("body", "data-tensors");
    await page.getByText("All steps are done.").waitFor();
    expect(await page.getAttribute("body", "data-iteration")).toBe("60");
    expect(await page.getAttribute("body", "data-tensors")).toBe(tensors);
    // It begins at ln 512 = 6.24.
    const now = await page.textContent("#losses-now");
    expect(Number(/validation ([\d.]+)/.exec(now ?? "")?.[1])).toBeLessThan(5.4);
    // A report is a point of the curve.
    const points = await page
      .locator("#losses path[fill=none]")
      .evaluateAll((paths) => paths.map((path) => path.getAttribute("d")?.split(/[LC]/).length ?? 0));
    expect(Math.max(...points)).toBeGreaterThanOrEqual(20);
    const texts = await page.locator("#samples p").allTextContents();
    expect(texts.length).toBe(3);
    expect(texts.at(-1)).toBe(before);
    for (const text of texts) expect(text).toMatch(/^The whale/);
    expect(new Set(texts).size).toBe(3);
    expect(await page.textContent("#now")).toMatch(/step 60 of 60 · \d\.\d\d bits a character · \d+ tokens/);
    // More steps go on from there.
    await choose(page, { steps: 63 });
    await page.locator("#run").click();
    await page.waitForFunction(() => document.body.dataset["iteration"] === "63");
    expect(errors).toEqual([]);
    await page.close();
  });

  test("optimizer, rates and schedule change while it trains", async () => {
    const { page, errors } = await site.open();
    await choose(page, { size: "small", steps: 5000 });
    await trainTo(page, 60);
    const rates = page.locator("#rates-now");
    // Up for 50 steps, then level for 2,450.
    await rates.getByText("hidden 0.02").waitFor();
    await page.locator("#muon-lr").fill("-2");
    await rates.getByText("hidden 0.01").waitFor();
    await page.locator("#lr").fill("-3");
    await rates.getByText("others 1.0e-3").waitFor();
    await page.locator("#schedule").selectOption("cosine");
    await rates.getByText(/hidden \d\.\de-3/).waitFor();
    await page.locator("#optimizer").selectOption("adamw");
    await page.getByText("Weights whose rule stays keep their state").waitFor();
    const at = Number(await page.getAttribute("body", "data-iteration"));
    await trainTo(page, at + 5);
    await pause(page);
    const { optim, extra } = await decodeCheckpoint(await readFile(await saved(page)));
    const { params } = (optim as OptimWrapperStateDict).optimizer;
    const stepOf = (name: string): number => params.find((param) => param.name === name)?.step ?? -1;
    const { iteration, info } = extra as { readonly iteration: number; readonly info: object };
    expect(stepOf("embedding")).toBe(iteration);
    expect(stepOf("0.query")).toBeLessThan(iteration - 60);
    expect(info).toMatchObject({ optimizer: "adamw", settings: { lr: 8e-3, schedule: "cosine" } });
    await page.locator("#optimizer").selectOption("schedule-free");
    await trainTo(page, iteration + 5);
    expect(await page.locator("#schedule").isDisabled()).toBe(true);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a checkpoint of the page goes on in the program, and one of the program in the page", async () => {
    const { page, errors } = await site.open();
    await choose(page, { size: "small", steps: 600 });
    await page.locator("#lr").fill("-2.5");
    await trainTo(page, 12);
    const step = await pause(page);
    const file = join(folder, "page.safetensors");
    await save(page, file);
    expect(await goOn(file)).toMatchObject({ began: step, done: true });

    // The program's own file, of other settings than those of the page.
    const settings = completeSettings({ ...sizes.small, layers: 2, steps: 40 });
    const place = join(folder, "program");
    const { training } = await trained("adamw", settings, { stopAfter: 10, folder: place });
    training.dispose();
    const program = join(place, "checkpoint-000001.safetensors");
    await page.locator("#file").setInputFiles(program);
    await page.getByText("Loaded checkpoint-000001.safetensors: AdamW.").waitFor();
    expect(await page.locator("#optimizer").inputValue()).toBe("adamw");
    expect(await page.locator("#size").inputValue()).toBe("");
    expect(await page.locator("#samples li").count()).toBe(2);
    await page.locator("#run").click();
    await page.getByText("All steps are done.").waitFor();
    const back = join(folder, "back.safetensors");
    await save(page, back);
    const [here, there] = [await tensorsOf(back), await goOn(program)];
    expect(there).toMatchObject({ began: 10, done: true });
    // The same kernels, and the same numbers, to the bit.
    for (const [name, values] of there.weights) expect([name, here[name]?.data]).toEqual([name, values]);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a file that is no checkpoint is refused, and the run is what it was", async () => {
    const { page, errors } = await site.open();
    await choose(page, { size: "small", steps: 100_000 });
    await trainTo(page, 5);
    for (const text of ["not a checkpoint", ""]) {
      const file = {
        name: "other.safetensors",
        mimeType: "application/octet-stream",
        buffer: Buffer.from(text),
      };
      await page.locator("#file").setInputFiles(file);
      await page.locator("#status.failed").waitFor();
    }
    const step = Number(await page.getAttribute("body", "data-iteration"));
    await trainTo(page, step + 5);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("webgl and webgpu give the losses of wasm, and take a model over", async () => {
    const { page, errors } = await site.open();
    await choose(page, { size: "small", steps: 5 });
    const beginning = join(folder, "beginning.safetensors");
    await save(page, beginning);
    const losses: number[] = [];
    for (const backend of ["wasm", "webgl", "webgpu"]) {
      await page.locator(`input[value=${backend}]`).check();
      if (backend !== "wasm") await page.getByText("The model moved along").waitFor();
      await page.locator("#file").setInputFiles(beginning);
      await page.getByText("Loaded beginning.safetensors").waitFor();
      await page.locator("#run").click();
      await page.getByText("All steps are done.").waitFor();
      expect(await page.getAttribute("body", "data-iteration")).toBe("5");
      losses.push(Number(await page.getAttribute("body", "data-loss")));
      expect(await page.textContent(`[data-speed=${backend}]`)).toMatch(/\d/);
    }
    const [onWasm, ...others] = losses;
    expect(onWasm).toBeLessThan(6.24);
    // An ulp of it is 5e-7; sums in another order, and four steps.
    for (const loss of others) expect(Math.abs(loss - onWasm!)).toBeLessThan(1e-4);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("the page's own script has no kernels: they are the worker's", async () => {
    const { page } = await site.open();
    const textOf = async (address: string): Promise<string> => (await page.request.get(address)).text();
    for (const script of await page.evaluate(() => [...document.scripts].map(({ src }) => src)))
      expect(await textOf(script)).not.toContain("BatchMatMul");
    expect(await textOf(page.workers()[0]!.url())).toContain("BatchMatMul");
    await page.close();
  });

  for (const colorScheme of ["light", "dark"] as const) {
    for (const [size, width] of [
      ["wide", 1280],
      ["narrow", 360],
    ] as const) {
      test(`axe finds nothing, and nothing sticks out: ${colorScheme}, ${size}`, async () => {
        const { page } = await site.open({ colorScheme, viewport: { width, height: 800 } });
        if (screenshots === undefined) await choose(page, { size: "small" });
        await trainTo(page, 12);
        await page.addScriptTag({ content: axe.source });
        const { violations } = await page.evaluate(() =>
          (globalThis as unknown as { axe: typeof axe }).axe.run(),
        );
        expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        if (screenshots !== undefined && size === "wide") {
          await trainTo(page, 200);
          const path = `${screenshots}/language-playground-${colorScheme}.png`;
          await page.screenshot({ path, fullPage: true });
        }
        await page.close();
      });
    }
  }
});

describe("without WebGPU", () => {
  test("says what is missing, and trains", async () => {
    const site = await openSite(root, { webgpu: false });
    const { page, errors } = await site.open();
    expect(await page.textContent("#status")).toMatch(/WebGPU.*; everything else works/);
    expect(await page.locator("input[value=webgpu]").isDisabled()).toBe(true);
    await choose(page, { size: "small" });
    await trainTo(page, 5);
    expect(errors).toEqual([]);
    await site.close();
  });
});

/** Another size, which starts over, and so many steps. */
async function choose(
  page: Page,
  { size, steps }: { size?: keyof typeof sizes; steps?: number },
): Promise<void> {
  if (size !== undefined) {
    await page.locator("#size").selectOption(size);
    await page.getByText("A model of another size").waitFor();
  }
  if (steps !== undefined) {
    await page.locator("#steps").fill(String(steps));
    await page.locator("#steps").press("Tab");
    await page.getByText(`${steps} steps in all.`).waitFor();
  }
}

async function saved(page: Page): Promise<string> {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save" }).click(),
  ]);
  return file.path();
}

async function save(page: Page, path: string): Promise<void> {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save" }).click(),
  ]);
  await file.saveAs(path);
}

const tensorsOf = async (path: string) => (await decodeCheckpoint(await readFile(path))).tensors;

/** Goes on from a checkpoint to the end, as the program does. */
async function goOn(path: string) {
  const { settings, runs } = await findRuns(path);
  const [[name, found]] = [...runs] as [[OptimizerName, FoundRun]];
  const training = createTraining(name, settings, text, { validationRows: 16, sampleTokens: 4 });
  const { run, model } = training;
  await run.resume({ from: found });
  const began = run.iteration;
  await training.train();
  const weights = Object.entries(model.weights).map(([key, weight]) => [key, weight.dataSync()] as const);
  training.dispose();
  return { began, done: run.done, weights };
}
