import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { decodeCheckpoint } from "@mm/optim-checkpoint";
import axe from "axe-core";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSite, pause, type Site, trainTo } from "./site.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** A folder for pictures of the page in all four looks: `pnpm screenshots`. */
const screenshots = process.env["SCREENSHOTS"];

describe("with WebGPU", () => {
  let site: Site | undefined;
  beforeAll(async () => void (site = await openSite(root, { webgpu: true })));
  afterAll(() => site?.close());

  test("trains: losses move, digits appear, no tensor is left behind, nothing is wrong", async () => {
    const { page, errors } = await (site as Site).open();
    const before = await pixels(page);
    await trainTo(page, 100);
    const [early, tensors] = [
      await page.textContent("#losses-now"),
      await page.getAttribute("body", "data-tensors"),
    ];
    await trainTo(page, 600);
    expect(await page.textContent("#losses-now")).not.toBe(early);
    expect(await page.getAttribute("body", "data-tensors")).toBe(tensors);
    await pause(page);
    expect(await pixels(page)).not.toBe(before);
    expect(await page.getAttribute("#samples", "aria-label")).toMatch(/drawn after \d{3,} iterations/);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("runs no training on the page's thread", async () => {
    const { page } = await (site as Site).open();
    await page.evaluate(() => {
      const tasks: number[] = [];
      Object.assign(globalThis, { tasks });
      new PerformanceObserver((list) =>
        tasks.push(...list.getEntries().map(({ duration }) => duration)),
      ).observe({
        type: "longtask",
      });
    });
    await trainTo(page, 300);
    const tasks = await page.evaluate(() => (globalThis as unknown as { tasks: number[] }).tasks);
    console.log(
      `long tasks of the page while it trained: ${tasks.length}, ${tasks.map(Math.round).join(", ")} ms`,
    );
    const scripts = await page.evaluate(() => [...document.scripts].map(({ src }) => src));
    for (const script of scripts) {
      // tfjs registers its kernels by name: the page's own script has none of them, the worker's does.
      expect(await (await page.request.get(script)).text()).not.toContain("BatchMatMul");
    }
    const [worker] = page.workers();
    expect(await (await page.request.get(worker?.url() as string)).text()).toContain("BatchMatMul");
    await page.close();
  });

  test("a learning rate acts on the running model", async () => {
    const { page } = await (site as Site).open();
    await trainTo(page, 40);
    await page.locator("#generator-lr").fill("-4");
    await page.locator("#rates-now").getByText("generator 1.0e-4").waitFor();
    expect(await page.textContent("#rates-now")).toContain("discriminator 2.0e-3");
    await page.close();
  });

  test("a frozen generator draws the same digits however long the other trains", async () => {
    const { page } = await (site as Site).open();
    await page.locator("#generator-frozen").check();
    await trainTo(page, 100);
    await pause(page);
    const before = await pixels(page);
    await trainTo(page, 300);
    await pause(page);
    expect(await pixels(page)).toBe(before);
    await page.locator("#generator-frozen").uncheck();
    await trainTo(page, 500);
    await pause(page);
    expect(await pixels(page)).not.toBe(before);
    await page.close();
  });

  test("rule, clipping, accumulation and loss scaling change while it trains, and the optimizers' state stays", async () => {
    const { page, errors } = await (site as Site).open();
    await trainTo(page, 100);
    await page.locator("#clip").selectOption("norm");
    await page.locator("#accumulate").selectOption("2");
    await page.locator("#scaling").check();
    await page.getByText("Loss scale 65536, 0 steps skipped").waitFor();
    await page.locator("#discriminator-rule").selectOption("rmsprop");
    await page.getByText("The discriminator's rmsprop starts with an empty state.").waitFor();
    await trainTo(page, 400);
    await pause(page);
    const { optim } = await savedBy(page);
    const { generator, discriminator } = (optim as { wrappers: Record<string, SavedWrapper> }).wrappers;
    // 100 updates at least of one micro-batch each, then one of two: what changed the window kept Adam's moments and its count.
    expect(generator?.optimizer.rule).toBe("EMA(Adam)");
    expect(generator?.optimizer.params[0]?.step).toBeGreaterThan(100);
    expect(generator?.optimizer.params[0]?.step).toBeLessThan(400);
    expect(discriminator?.optimizer.rule).toBe("RMSprop");
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a saved run goes on after the page was loaded again", async () => {
    const { page, errors } = await (site as Site).open();
    await page.locator("#generator-lr").fill("-3");
    await trainTo(page, 200);
    const iteration = await pause(page);
    const picture = await pixels(page);
    const file = await download(page);

    await page.reload();
    await page.locator("#run:enabled").waitFor();
    expect(await pixels(page)).not.toBe(picture);
    await page.locator("#file").setInputFiles(file);
    await page.getByText(/^Loaded/).waitFor();
    expect(await pixels(page)).toBe(picture);
    expect(await page.locator("#generator-lr").inputValue()).toBe("-3");
    await trainTo(page, iteration + 1);
    const { optim, extra } = await savedBy(page);
    const { generator } = (optim as { wrappers: Record<string, SavedWrapper> }).wrappers;
    const { iteration: reached } = extra as { iteration: number };
    expect(reached).toBeGreaterThan(iteration);
    expect(generator?.optimizer.params[0]?.step).toBe(reached);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("a file that is no checkpoint is refused, and the run is what it was", async () => {
    const { page, errors } = await (site as Site).open();
    await trainTo(page, 60);
    const iteration = await pause(page);
    const picture = await pixels(page);
    await page.locator("#file").setInputFiles({
      name: "other.safetensors",
      mimeType: "application/octet-stream",
      buffer: Buffer.from("not a checkpoint"),
    });
    await page.locator("#status.failed").waitFor();
    expect(await pixels(page)).toBe(picture);
    await trainTo(page, iteration + 20);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("another backend goes on with the state; tf.train.adam starts afresh", async () => {
    const { page, errors } = await (site as Site).open();
    await trainTo(page, 60);
    await page.locator("input[value=webgpu]").check();
    await page.getByText("The state moved along.").waitFor();
    const atMove = Number(await page.getAttribute("body", "data-iteration"));
    await trainTo(page, atMove + 3);
    await pause(page);
    const { optim, extra } = await savedBy(page);
    const { generator } = (optim as { wrappers: Record<string, SavedWrapper> }).wrappers;
    expect(generator?.optimizer.params[0]?.step).toBe((extra as { iteration: number }).iteration);
    await page.locator("input[value=wasm-plain]").check();
    await page.getByText("tf.train.adam starts afresh").waitFor();
    await trainTo(page, atMove + 60);
    await expect.poll(() => page.textContent("[data-speed=webgpu]")).toMatch(/\d/);
    await expect.poll(() => page.textContent("[data-speed=wasm-plain]")).toMatch(/\d/);
    expect(errors).toEqual([]);
    await page.close();
  });

  test("webgl trains, beside tf.train.adam there, and messages are heard meanwhile", async () => {
    const { page, errors } = await (site as Site).open();
    await page.locator("input[value=webgl]").check();
    await page.getByText("The state moved along.").waitFor();
    await trainTo(page, 12);
    await page.locator("#generator-lr").fill("-4");
    await page.locator("#rates-now").getByText("generator 1.0e-4").waitFor();
    const tensors = await page.getAttribute("body", "data-tensors");
    const reached = await pause(page);
    await trainTo(page, reached + 8);
    expect(await page.getAttribute("body", "data-tensors")).toBe(tensors);
    await page.locator("input[value=webgl-plain]").check();
    await page.getByText("tf.train.adam starts afresh").waitFor();
    await trainTo(page, reached + 16);
    for (const name of ["webgl", "webgl-plain"])
      await expect.poll(() => page.textContent(`[data-speed=${name}]`)).toMatch(/\d/);
    console.log(
      `ms per step on tfjs-webgl: ${await page.textContent("[data-speed=webgl]")}, tf.train.adam ${await page.textContent("[data-speed=webgl-plain]")}`,
    );
    expect(errors).toEqual([]);
    await page.close();
  });

  test("everything can be reached and used by keyboard", async () => {
    const { page } = await (site as Site).open();
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("run");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Pause" }).waitFor();
    await page.locator("#generator-lr").focus();
    await page.keyboard.press("ArrowLeft");
    await page.locator("#rates-now").getByText("generator 1.8e-3").waitFor();
    await page.close();
  });

  for (const colorScheme of ["light", "dark"] as const) {
    for (const [size, width] of [
      ["wide", 1280],
      ["narrow", 360],
    ] as const) {
      test(`axe finds nothing, and nothing sticks out: ${colorScheme}, ${size}`, async () => {
        const { page } = await (site as Site).open({ colorScheme, viewport: { width, height: 800 } });
        await trainTo(page, 60);
        await page.addScriptTag({ content: axe.source });
        const { violations } = await page.evaluate(() =>
          (globalThis as unknown as { axe: typeof axe }).axe.run(),
        );
        expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        if (screenshots !== undefined) {
          await trainTo(page, 2500);
          await page.screenshot({
            path: `${screenshots}/playground-${size}-${colorScheme}.png`,
            fullPage: true,
          });
        }
        await page.close();
      });
    }
  }
});

describe("without WebGPU", () => {
  let site: Site | undefined;
  beforeAll(async () => void (site = await openSite(root, { webgpu: false })));
  afterAll(() => site?.close());

  test("says what is missing, and trains", async () => {
    const { page, errors } = await (site as Site).open();
    expect(await page.textContent("#status")).toMatch(/WebGPU.*; everything else works/);
    expect(await page.locator("input[value=webgpu]").isDisabled()).toBe(true);
    await trainTo(page, 60);
    expect(errors).toEqual([]);
    await page.close();
  });
});

interface SavedWrapper {
  readonly optimizer: { readonly rule: string; readonly params: readonly { readonly step: number }[] };
}

const pixels = (page: Page): Promise<string> =>
  page.locator("#samples").evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());

async function download(page: Page): Promise<string> {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Save" }).click(),
  ]);
  return file.path();
}

const savedBy = async (page: Page): ReturnType<typeof decodeCheckpoint> =>
  decodeCheckpoint(await readFile(await download(page)));
