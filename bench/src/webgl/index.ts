import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright";
import { build, preview } from "vite";
import type { Effort, Section } from "../measure.ts";
import type { Row } from "./measure.ts";

const executablePath = "/usr/bin/chromium";
const root = fileURLToPath(new URL("../../webgl/", import.meta.url));

/** The goals of each row: plain, and with clipping by norm and a dynamic loss scale. */
const goals: readonly (readonly [plain: number, clipped: number])[] = [
  [4, 2.5],
  [6, 4],
  [10, 7],
  [1.3, 1.1],
];

/** The page that anybody can open for a GPU of their own, in Chromium on SwiftShader. */
export async function webgl({ smoke }: Effort): Promise<readonly Section[]> {
  if (!existsSync(executablePath)) {
    console.log(`not run: tfjs-webgl (no Chromium at ${executablePath})`);
    return [];
  }
  await build({ root, logLevel: "error" });
  const server = await preview({ root, logLevel: "error", preview: { port: 0, host: "127.0.0.1" } });
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(`${server.resolvedUrls?.local[0] as string}${smoke ? "?smoke" : ""}`);
    await page.locator("#run").click();
    await page.waitForFunction(() => document.body.dataset["rows"] !== undefined, undefined, {
      timeout: 600_000,
    });
    const rows = JSON.parse(
      (await page.locator("body").getAttribute("data-rows")) as string,
    ) as readonly Row[];
    return rows.map((row, index) => section(row, rows.length === goals.length ? goals[index] : undefined));
  } finally {
    await browser.close();
    await server.close();
  }
}

function section({ title, medians, ratios }: Row, goal: readonly [number, number] | undefined): Section {
  const [native, ...others] = Object.keys(medians) as [string, ...string[]];
  return {
    title: `Adam, tfjs-webgl in Chromium: ${title}`,
    about:
      "SwiftShader, which is a CPU and no GPU. Ratios are medians over nine rounds of those of one round. For a GPU of your own, build bench/webgl with Vite and open it: a button, a table, a line to copy.",
    timings: Object.entries(medians).map(([name, medianMs]) => ({ name, medianMs })),
    ratios: others.map((name, index) => ({
      what: `${native} ÷ ${name}`,
      value: ratios[name] as number,
      ...(goal?.[index] !== undefined && { goal: { atLeast: goal[index] } }),
    })),
  };
}
