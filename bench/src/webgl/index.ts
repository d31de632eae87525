import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright";
import { build, preview } from "vite";
import type { Effort, Section } from "../measure.ts";

const executablePath = "/usr/bin/chromium";
const root = fileURLToPath(new URL("../../webgl/", import.meta.url));
/** The rows of all devices, a line each. */
const rowsFile = new URL("../../webgl/rows.md", import.meta.url);

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
    await page.waitForFunction(() => document.body.dataset["sections"] !== undefined, undefined, {
      timeout: 600_000,
    });
    if (!smoke) keepRow(await page.locator("#line").textContent());
    const sections = JSON.parse(
      (await page.locator("body").getAttribute("data-sections")) as string,
    ) as readonly Section[];
    return sections.map((section) => ({
      ...section,
      title: `Adam, tfjs-webgl in Chromium: ${section.title}`,
      about: `${section.about} WebGL is SwiftShader here, which is a CPU and no GPU.`,
    }));
  } finally {
    await browser.close();
    await server.close();
  }
}

/** Puts the row of a device in the place of the one that it had. */
function keepRow(row: string | null): void {
  const deviceOf = (line: string): string | undefined => line.split("|")[1]?.trim();
  const others = webglRows().filter((line) => deviceOf(line) !== deviceOf(row ?? ""));
  writeFileSync(rowsFile, `${[...others, row].join("\n")}\n`);
}

/** The rows that were measured on this machine and others. */
export const webglRows = (): readonly string[] =>
  existsSync(rowsFile) ? readFileSync(rowsFile, "utf8").trimEnd().split("\n") : [];
