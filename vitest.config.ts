import { existsSync } from "node:fs";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import CountReporter from "./scripts/count-reporter.mjs";
import { sourceAliases } from "./scripts/aliases.mjs";

const chromium = "/usr/bin/chromium";
const hasChromium = existsSync(chromium);
if (!hasChromium) {
  const line = `not run: browser suites (no Chromium at ${chromium})`;
  if (process.env["REQUIRE_DEVICES"] === "1") throw new Error(line);
  console.log(line);
}

const resolve = { alias: sourceAliases() };

const node = {
  resolve,
  test: {
    name: "node",
    include: ["packages/*/test/**/*.test.ts"],
    exclude: ["packages/*/test/browser/**"],
    typecheck: {
      enabled: true,
      include: ["packages/*/test/**/*.test-d.ts"],
      tsconfig: "./tsconfig.test.json",
    },
  },
};

const browser = {
  resolve,
  test: {
    name: "browser",
    include: ["packages/*/test/browser/**/*.test.ts"],
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      api: { host: "127.0.0.1" },
      provider: playwright({
        launchOptions: {
          executablePath: chromium,
          args: [
            "--no-sandbox",
            "--disable-background-networking",
            "--disable-component-update",
            "--enable-unsafe-webgpu",
            "--use-webgpu-adapter=swiftshader",
          ],
        },
      }),
      instances: [{ browser: "chromium" as const }],
    },
  },
};

export default defineConfig({
  test: {
    projects: hasChromium ? [node, browser] : [node],
    reporters: ["default", new CountReporter()],
    passWithNoTests: true,
  },
});
