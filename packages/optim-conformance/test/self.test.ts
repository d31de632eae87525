import { readFileSync } from "node:fs";
import type { Capabilities } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { describe, expect, test } from "vitest";
import { referenceFactory, testOptimizer, type TestFunction } from "../src/index.ts";
import { kitTests } from "../src/kit/test-optimizer.ts";
import {
  brokenBackends,
  brokenPrinters,
  libraryFactory,
  printingFactory,
  type ReferenceFactory,
} from "./broken.ts";

interface Outcome {
  readonly passed: readonly string[];
  readonly skipped: readonly string[];
  /** Messages by the name of the test. */
  readonly failed: ReadonlyMap<string, string>;
  readonly printed: readonly string[];
}

/** Tests that take long, and find one kind of fault each. */
const long = /^(norms|edges): /;

/** `"clip"` of `"clip: by value"`. */
const topicOf = (name: string): string => name.slice(0, name.indexOf(": "));

interface RunOptions {
  readonly withSkip?: boolean;
  /** The tests that are run, by name. Default all. */
  readonly only?: (name: string) => boolean;
}

/** Runs the kit with a runner of five lines. */
async function runKit(
  factory: ReferenceFactory,
  { withSkip = true, only = () => true }: RunOptions = {},
): Promise<Outcome> {
  const registered: (readonly [title: string, run: () => Promise<void>])[] = [];
  const skipped: string[] = [];
  const printed: string[] = [];
  const collect = (title: string, run: () => Promise<void>): unknown => registered.push([title, run]);
  const test: TestFunction = withSkip
    ? Object.assign(collect, { skip: (title: string) => skipped.push(title) })
    : collect;
  testOptimizer({ test, factory, print: (line) => printed.push(line) });
  const passed: string[] = [];
  const failed = new Map<string, string>();
  for (const [title, run] of registered) {
    const name = title.slice(factory.name.length + 2);
    if (!only(name)) continue;
    try {
      await run();
      passed.push(name);
    } catch (error) {
      failed.set(name, (error as Error).message);
    }
  }
  return { passed, skipped, failed, printed };
}

const runShort = (factory: ReferenceFactory): Promise<Outcome> =>
  runKit(factory, { only: (name) => !long.test(name) });

describe("a backend that is broken on purpose", () => {
  test.each(brokenBackends.map((broken) => [broken.fault, broken] as const))(
    "%s",
    async (_, { factory, caughtBy }) => {
      const { failed, printed } = await runKit(factory, {
        only: (name) => topicOf(name) === topicOf(caughtBy) || name === "summary",
      });
      expect([...failed.keys()]).toContain(caughtBy);
      // The line at the end tells, too.
      expect(printed.at(-1)).toContain(` ${failed.size} failed`);
    },
  );

  // A wrong operation changes few numbers of a rule, and often none: its own test has to see it.
  test.each(brokenPrinters.map((broken) => [broken.fault, broken] as const))(
    "a printer that %s",
    async (_, { factory, caughtBy }) => {
      const { failed } = await runKit(factory, { only: (name) => name.startsWith("operations: ") });
      expect([...failed.keys()]).toContain(caughtBy);
    },
  );

  test("is told by how much the stage is off", async () => {
    const find = (fault: string): ReferenceFactory =>
      brokenBackends.find((broken) => broken.fault === fault)?.factory as ReferenceFactory;
    const clipping = await runShort(find("clips before it unscales"));
    // Norm 512 where it is 0.5: clipped by 1 ÷ 512.
    expect(clipping.failed.get("unscale: comes before clipping by norm")).toMatch(
      /^unscale: w\[0\] expected -0\.300\d+, got -0\.000585\d+ \(off by 0\.299/,
    );
    const wrong = await runShort(find("puts eps inside the root"));
    // 1 − 0.5 × 3 ÷ √10 where it is 1 − 0.5 × 3 ÷ 4
    expect(wrong.failed.get("rules: Adam adds eps outside the root")).toMatch(
      /^update: w\[0\] expected 0\.625, got /,
    );
    const half = await runShort(find("stops half way through a load"));
    expect(half.failed.get("state: a load that is refused changes nothing")).toBe(
      "state: lr expected 1, got 0.25",
    );
  });
});

test("passes on the reference backend, and counts", async () => {
  const { failed, skipped, printed } = await runKit(referenceFactory());
  expect([...failed]).toEqual([]);
  expect(skipped).toEqual([]);
  expect(printed).toEqual([
    `reference: ${kitTests.length} passed, 0 failed, 0 skipped of ${kitTests.length}`,
  ]);
});

test.each(["docs/backends.md", "examples/custom-backend/README.md", "packages/optim-conformance/README.md"])(
  "%s shows a closing line that is nearly the one that a reader will see",
  (file) => {
    const text = readFileSync(new URL(`../../../${file}`, import.meta.url), "utf8");
    const shown = [...text.matchAll(/ (\d+) passed, (\d+) failed, (\d+) skipped of (\d+)$/gm)];
    expect(shown.length).toBeGreaterThan(0);
    for (const [, passed, failed, skipped, of] of shown) {
      expect(Number(passed) + Number(failed) + Number(skipped)).toBe(Number(of));
      // A test more or less need not change the pages: a twentieth does.
      expect(Math.abs(Number(of) / kitTests.length - 1)).toBeLessThan(0.05);
    }
  },
);

test.each([
  ["a host library that owns its gradients", libraryFactory()],
  ["the printer that the wrong ones are made of", printingFactory],
])("passes on %s", async (_, factory) => {
  const { failed } = await runKit(factory);
  expect([...failed]).toEqual([]);
});

describe("capabilities", () => {
  const nothing: Partial<Capabilities> = {
    rules: false,
    liveHyperparameters: false,
    groups: false,
    perParameterSteps: false,
    portableState: false,
    transfer: false,
  };

  /** The reference backend, saying that it can do less. */
  function lesser(less: Partial<Capabilities>): ReferenceFactory {
    const factory = referenceFactory("lesser");
    return {
      ...factory,
      readParameter: (parameter) =>
        Promise.resolve(parameter instanceof Float32Array ? parameter.slice() : parameter.data.slice()),
      createOptimizer: (rule, parameters, options) =>
        new Proxy(factory.createOptimizer(rule, parameters, options), {
          get(target, key) {
            if (key === "capabilities") return { ...target.capabilities, ...less };
            if (less.transfer === false && /^(read|write)(Parameters|Gradients)$/.test(String(key)))
              return () => refuse("unsupported", String(key), "a backend that can", "lesser");
            const value: unknown = Reflect.get(target, key, target);
            return typeof value === "function" ? (value as () => unknown).bind(target) : value;
          },
        }),
    };
  }

  test("decide what is skipped, visibly", async () => {
    const { failed, skipped, passed, printed } = await runKit(lesser({ transfer: false }));
    expect([...failed]).toEqual([]);
    const needing = kitTests.filter(({ needs }) => needs?.includes("transfer")).map(({ name }) => name);
    expect(skipped).toEqual(needing.map((name) => `lesser: ${name} (capabilities.transfer is false)`));
    // And the closing test itself.
    expect(passed.length).toBe(kitTests.length - needing.length + 1);
    expect(printed.at(-1)).toBe(
      `lesser: ${kitTests.length - needing.length} passed, 0 failed, ${needing.length} skipped of ${kitTests.length}`,
    );
  });

  test("are printed where a runner cannot skip", async () => {
    const { printed } = await runKit(lesser({ groups: false }), { withSkip: false });
    expect(printed).toContain(
      "skipped: lesser: groups: each has its own hyperparameters (capabilities.groups is false)",
    );
  });

  test("never take away accumulation, missing gradients, state, live learning rates, dispose and errors", async () => {
    const { passed } = await runKit(lesser(nothing));
    for (const topic of [
      "accumulation",
      "missing gradients",
      "state",
      "live hyperparameters",
      "lifecycle",
      "errors",
    ]) {
      expect(passed.filter((name) => name.startsWith(`${topic}: `)).length).toBeGreaterThanOrEqual(2);
    }
    expect(passed).toContain("state: training resumes from a window in progress, to the bit");
    expect(passed).toContain("live hyperparameters: a learning rate counts from the next step");
    expect(passed).toContain("lifecycle: dispose frees all that training allocated");
  });
});
