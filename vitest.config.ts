import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { aliases } from "./scripts/aliases.mjs";
import CountReporter from "./scripts/count-reporter.mjs";
import { hasDriver, hasWebGpu } from "./scripts/vulkan.mjs";

const chromium = "/usr/bin/chromium";
const hasChromium = existsSync(chromium);
const hasMpi = ["openmpi", "mpich"].every((name) => existsSync(`/usr/bin/mpirun.${name}`));
const notRun = [
  ...(hasChromium ? [] : [`not run: browser suites (no Chromium at ${chromium})`]),
  ...(hasWebGpu() ? [] : ["not run: WebGPU suites in Node (no Vulkan driver; Debian's chromium brings one)"]),
  ...(hasMpi ? [] : ["not run: ranks of MPI (Debian: apt-get install openmpi-bin mpich)"]),
];
// Optional: no machine has to have these.
const hasNamespaces =
  existsSync("/usr/sbin/ip") && spawnSync("unshare", ["--net", "--uts", "true"]).status === 0;
const hasTorch = existsSync("/usr/bin/python3") && existsSync("/usr/lib/python3/dist-packages/torch");
const notRunEither = [
  ...(hasDriver("lavapipe")
    ? []
    : ["not run: WebGPU with shader-f16 (no lavapipe; bash scripts/lavapipe.sh fetches it)"]),
  ...(hasTorch ? [] : ["not run: round trips with PyTorch (Debian: apt-get install python3-torch)"]),
  ...(hasNamespaces ? [] : ["not run: ranks on two hosts (network namespaces may not be made here)"]),
];

// Tests run on the sources; `pnpm test:built` runs the same tests on what the build made of them.
const built = process.env["TEST_STAGE"] === "built";
const resolve = { alias: aliases(built ? "built" : "source") };
// Long, and a build has no part in what they show. A build erases types and nothing else: what can differ is which files there are, and what they
// export. That the kit itself is whole on builds, those of the reference backend and of wasm show, whose arithmetic takes seconds.
const notOfBuilds = [
  "examples/**",
  "**/{kill,fuzz,growth,memory,faults,hosts,ranks,sequences}.test.ts",
  "packages/optim-{jax,tfjs,webgpu}/test/**/{conformance,edges,extremes,sam}.test.ts",
  // Those of WebGPU's kernels read the sources of the package in any case.
  "packages/optim-webgpu/test/kernel/**",
];

// A slow machine is no failure, nor is one that is shared with other files; what hangs still ends.
const timeouts = { testTimeout: 180_000, hookTimeout: 180_000 };

// By default one core is left to vitest itself: on a machine with two, files would run one after the other.
const maxWorkers = Math.max(2, availableParallelism() - 1);

const python = ["packages/*/test/python/**"];
const hosts = ["packages/optim-distributed/test/mpi/hosts.test.ts"];
const webgpu = ["packages/optim-webgpu/test/**", "{packages,examples}/*/test/webgpu/**"];

const node = {
  resolve,
  test: {
    ...timeouts,
    name: "node",
    include: ["{packages,examples}/*/test/**/*.test.ts"],
    exclude: [
      "packages/*/test/browser/**",
      "examples/*/test/page/**",
      ...(hasWebGpu() ? [] : webgpu),
      ...(hasTorch ? [] : python),
      "{packages,examples}/*/test/mpi/**",
      ...(built ? notOfBuilds : []),
    ],
    typecheck: {
      // Types are the same whatever the tests run on. The command line cannot switch this off.
      enabled: !built && process.env["TYPE_TESTS"] !== "off",
      include: ["packages/*/test/**/*.test-d.ts"],
      tsconfig: "./tsconfig.json",
    },
  },
};

/** Programs of several processes. Jobs have deadlines, so they run one at a time, when all else is done. */
const mpi = {
  resolve,
  test: {
    ...timeouts,
    name: "mpi",
    include: ["{packages,examples}/*/test/mpi/**/*.test.ts"],
    exclude: [...(hasNamespaces ? [] : hosts), ...(built ? notOfBuilds : [])],
    fileParallelism: false,
    sequence: { groupOrder: 1 },
  },
};

const browser = {
  resolve,
  test: {
    ...timeouts,
    name: "browser",
    include: ["packages/*/test/browser/**/*.test.ts", "site/test/browser/**/*.test.ts"],
    globalSetup: ["site/test/extract.ts"],
    browser: {
      enabled: true,
      headless: true,
      // One page at a time: there is one adapter in software, which takes all cores.
      fileParallelism: false,
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

/** The code blocks of the documentation. */
const documentation = {
  resolve,
  test: {
    ...timeouts,
    name: "documentation",
    include: ["site/test/*.test.ts"],
    globalSetup: ["site/test/extract.ts"],
  },
};

/** Whole pages, built and driven in Chromium. */
const page = {
  resolve,
  test: { ...timeouts, name: "page", include: ["examples/*/test/page/**/*.test.ts"] },
};

export default defineConfig({
  test: {
    projects: [node, documentation, ...(hasChromium ? [browser, page] : []), ...(hasMpi ? [mpi] : [])],
    reporters: ["default", new CountReporter(notRun, notRunEither)],
    passWithNoTests: true,
    maxWorkers,
  },
});
