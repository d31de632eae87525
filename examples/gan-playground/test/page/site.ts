import { type Browser, chromium, type Page } from "playwright";
import { build, preview, type PreviewServer } from "vite";

/** The built page, served, and Chromium to look at it with. */
export interface Site {
  /** A page whose worker is ready. Whatever it writes to the console as an error is in `errors`. */
  open(
    options?: Parameters<Browser["newPage"]>[0],
  ): Promise<{ readonly page: Page; readonly errors: string[] }>;
  close(): Promise<void>;
}

export async function openSite(root: string, { webgpu }: { readonly webgpu: boolean }): Promise<Site> {
  const server = await serve(root);
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-background-networking",
      "--disable-component-update",
      ...(webgpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"]),
    ],
  });
  return {
    async open(options) {
      const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
      // A slow machine is no failure.
      page.setDefaultTimeout(120_000);
      const errors: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error") errors.push(message.text());
      });
      page.on("pageerror", (error) => errors.push(error.message));
      await page.goto(server.resolvedUrls?.local[0] as string);
      await page.locator("#run:enabled").waitFor();
      return { page, errors };
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}

/** Trains until so many iterations are done, and is still training then. */
export async function trainTo(page: Page, iteration: number): Promise<void> {
  const run = page.locator("#run");
  if ((await run.textContent()) === "Train") await run.click();
  await page.waitForFunction((least) => Number(document.body.dataset["iteration"]) >= least, iteration);
}

export async function pause(page: Page): Promise<number> {
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText(/^Paused after/).waitFor();
  return Number(await page.locator("body").getAttribute("data-iteration"));
}

async function serve(root: string): Promise<PreviewServer> {
  await build({ root, logLevel: "error" });
  return preview({ root, logLevel: "error", preview: { port: 0, host: "127.0.0.1" } });
}
