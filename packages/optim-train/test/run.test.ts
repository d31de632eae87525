import { createOptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import { sgd } from "@mm/optim-rules";
import { createSchedulerDict, exponential } from "@mm/optim-schedule";
import { createRun, type RunOptions, type RunStore, type SavedRun } from "@mm/optim-train";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test, vi } from "vitest";
import { refusal, thrownBy } from "../../../test-support/refusal.ts";
import { createLoop, temporaryFolder } from "./loop.ts";

/** A gradient of 1, and a loss of 2. */
const loss = ({ grad, scale }: { grad(name: "w"): Float32Array; readonly scale: number }): number => {
  const gradient = grad("w");
  gradient[0] = (gradient[0] as number) + scale;
  return 2;
};

function createSmall(options: Partial<RunOptions> = {}, wrapperOptions = {}) {
  const w = new Float32Array(1);
  const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w }), wrapperOptions);
  return { w, optim, run: createRun({ until: 10, ...options, optim }) };
}

/** Keeps what is saved. */
function memoryStore(): RunStore & { readonly saved: [name: string | undefined, run: SavedRun][] } {
  const saved: [string | undefined, SavedRun][] = [];
  return {
    saved,
    take: (_, run) =>
      Promise.resolve((name) => {
        saved.push([name, run]);
        return Promise.resolve(name ?? `${saved.length}`);
      }),
    find: () => Promise.resolve(undefined),
  };
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("the loop", () => {
  test("numbers iterations from 1, counts those that are done, and ends at `until`", async () => {
    const { run, w } = createSmall();
    const seen: number[][] = [];
    for await (const iteration of run) {
      seen.push([iteration, run.iteration]);
      expect(run.update(loss)).toBe(true);
    }
    expect(seen).toEqual(Array.from({ length: 10 }, (_, done) => [done + 1, done]));
    expect([run.iteration, run.done, run.stopped, w[0]]).toEqual([10, true, undefined, -10]);
  });

  test("steps the windows that are short at its end", async () => {
    const { run, w } = createSmall({}, { accumulativeCounts: 4 });
    for await (const _ of run) run.update(loss);
    // Windows of 4, 4 and 2, each the mean of its gradients.
    expect(w[0]).toBe(-3);
  });

  test("an epoch ends with a step, and windows begin anew", async () => {
    const loop = createLoop(temporaryFolder(), 39);
    await loop.train();
    // ⌈13 ÷ 4⌉ in each of 3 epochs.
    expect([loop.scheduler.updates, loop.scheduler.epochs]).toEqual([12, 3]);
  });

  test("updates, skips and counts the wrapper that is named, with its scheduler", async () => {
    const [a, b] = [new Float32Array(1), new Float32Array(1)];
    const optim = new OptimWrapperDict({
      a: createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: a })),
      b: createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: b }), { accumulativeCounts: 2 }),
    });
    const schedulers = createSchedulerDict(optim, { a: { lr: exponential({ gamma: 0.5 }) } });
    const run = createRun({ optim, schedulers, until: 4 });
    for await (const _ of run) {
      run.update("a", loss);
      run.update("b", loss, { weight: 3 });
      run.skip("b");
    }
    // 1 + ½ + ¼ + ⅛; the micro-batch of weight 0 leaves the mean as it is.
    expect([a[0], b[0]]).toEqual([-1.875, -4]);
    expect([schedulers.get("a").updates, schedulers.get("b").updates]).toEqual([4, 4]);
    const where = "run: name of a wrapper: expected one of a, b, first, got";
    expect(thrownBy(() => run.update("c" as "a", loss)).message).toBe(`${where} "c"`);
    expect(thrownBy(() => run.update(loss as never, undefined as never)).message).toBe(`${where} undefined`);
    const single = createSmall().run as unknown as typeof run;
    expect(thrownBy(() => single.update("a", loss)).message).toBe(
      'run: name of a wrapper: expected no name, for there is one wrapper, got "a"',
    );
  });

  test("stops after the iteration, at a signal, or at once where that came before", async () => {
    const asked = createSmall();
    for await (const iteration of asked.run) {
      asked.run.update(loss);
      if (iteration === 3) asked.run.stop("enough");
    }
    expect([asked.run.iteration, asked.run.stopped, asked.run.done]).toEqual([3, "enough", false]);
    // It goes on.
    for await (const _ of asked.run) asked.run.update(loss);
    expect([asked.run.iteration, asked.run.stopped, asked.run.began]).toEqual([10, undefined, 3]);

    const controller = new AbortController();
    const signalled = createSmall({ signal: controller.signal });
    for await (const iteration of signalled.run) if (iteration === 2) controller.abort();
    for await (const _ of signalled.run) throw new Error("it was aborted");
    expect([signalled.run.iteration, signalled.run.stopped]).toEqual([2, "signal"]);
  });

  test("`every` is a multiple, or the last", async () => {
    const { run } = createSmall();
    const at: number[] = [];
    for await (const iteration of run) if (run.every(4)) at.push(iteration);
    expect(at).toEqual([4, 8, 10]);
    expect(thrownBy(() => run.every(0)).code).toBe("invalid-option");
  });

  test("that was left by `break` or an error is neither saved nor gone on with, until it is resumed", async () => {
    const folder = temporaryFolder();
    const { run, train, place } = createLoop(folder, 20);
    await run.save();
    const before = place();
    for await (const iteration of run) if (iteration === 3) break;
    expect(run.iteration).toBe(2);
    expect((await refusal(() => run.save())).message).toMatch(
      /^run\.save: expected no iteration in progress, got 3\. In the body/,
    );
    expect((await refusal(() => train())).code).toBe("reentrant");
    expect(thrownBy(() => run.use(undefined as never)).code).toBe("reentrant");
    await run.resume();
    expect([run.iteration, place()]).toEqual([0, before]);
    await train(5);
    await expect(
      (async () => {
        for await (const _ of run) throw new Error("mine");
      })(),
    ).rejects.toThrow("mine");
    expect((await refusal(() => run.save())).code).toBe("reentrant");
  });

  test("runs once at a time, and is not resumed while it runs", async () => {
    const { run } = createSmall({ until: 1, store: memoryStore() });
    for await (const _ of run) {
      expect((await refusal(() => run.resume())).code).toBe("reentrant");
      expect((await refusal(() => run[Symbol.asyncIterator]().next())).code).toBe("reentrant");
      expect((await refusal(() => run.save())).code).toBe("reentrant");
    }
    expect(run.done).toBe(true);
  });
});

describe("saves", () => {
  test("are of every so many iterations, of those that were asked for, and of the end", async () => {
    const store = memoryStore();
    const { run } = createSmall({ store, saveEvery: 4, info: { seed: 1 } });
    for await (const iteration of run) {
      run.update(loss);
      if (iteration === 5) run.saveAfter("best");
    }
    expect(store.saved.map(([name, { iteration }]) => [name, iteration])).toEqual([
      [undefined, 4],
      ["best", 5],
      [undefined, 8],
      [undefined, 10],
    ]);
    expect(store.saved[0]?.[1]).toMatchObject({
      format: "optim-run",
      version: 1,
      info: { seed: 1 },
      state: {},
    });
    expect(await run.save("again")).toBe("again");
    expect(await createSmall().run.save()).toBeUndefined();
  });

  test("of the last iteration are one, and of a stop are there", async () => {
    const store = memoryStore();
    const { run } = createSmall({ store, saveEvery: 5 });
    for await (const iteration of run) if (iteration === 7) run.stop();
    for await (const _ of run) run.update(loss);
    expect(store.saved.map(([, { iteration }]) => iteration)).toEqual([5, 7, 10]);
  });

  test("are written while training goes on; the next one waits", async () => {
    let release: () => void = () => undefined;
    const begun: number[] = [];
    const store: RunStore = {
      take: (_, { iteration }) =>
        Promise.resolve(async () => {
          begun.push(iteration);
          await new Promise<void>((resolve) => (release = resolve));
          return "file";
        }),
      find: () => Promise.resolve(undefined),
    };
    const { run } = createSmall({ store, saveEvery: 2, until: 4 });
    const seen: (readonly number[])[] = [];
    const training = (async () => {
      for await (const iteration of run) seen.push([iteration, ...begun]);
    })();
    await wait(20);
    // The save of 2 is being written in 3 and 4; that of 4 is not begun before it is done.
    expect([seen, begun]).toEqual([[[1], [2], [3, 2], [4, 2]], [2]]);
    release();
    await wait(20);
    expect(begun).toEqual([2, 4]);
    release();
    await training;
  });

  test.each(["take", "write"] as const)("that fail at %s end the run, or are told of", async (at) => {
    const fail = () => Promise.reject(new Error("the disk is full"));
    const store: RunStore = {
      take: at === "take" ? fail : () => Promise.resolve(fail),
      find: () => Promise.resolve(undefined),
    };
    const train = async (options: Partial<RunOptions>) => {
      const { run } = createSmall({ store, saveEvery: 3, ...options });
      for await (const _ of run) run.update(loss);
      return run;
    };
    await expect(train({})).rejects.toThrow("the disk is full");
    const told = vi.fn<(error: unknown) => void>();
    const run = await train({ onSaveError: told });
    expect([run.done, told.mock.calls.length]).toEqual([true, 4]); // after 3, 6, 9 and 10
  });
});

describe("the log", () => {
  test("has the last loss, the learning rate, what was measured and noted, and the pace", async () => {
    const lines: [number, object][] = [];
    const { run, optim } = createSmall(
      { log: { every: 4, to: (step, metrics) => void lines.push([step, metrics]) } },
      { clipGrad: { maxNorm: 0.5 } },
    );
    for await (const iteration of run) {
      run.update(loss);
      run.update(loss);
      if (iteration === 6) run.log({ accuracy: 0.5 });
    }
    const pace = Object.fromEntries(
      ["seconds", "perSecond", "secondsLeft"].map((name) => [name, expect.any(Number) as unknown]),
    );
    const line = { loss: 2, lr: 1, gradNorm: 1, ...pace };
    expect(lines).toEqual([
      [4, line],
      [6, { accuracy: 0.5 }],
      [8, line],
    ]);
    expect(await optim.readMetrics()).toMatchObject({ steps: 20 });
  });

  test("names wrappers, leaves out norms of those that made no step, and tells of skipped ones", async () => {
    const lines: object[] = [];
    const make = (options: object) =>
      createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }), {
        gradNorm: true,
        ...options,
      });
    const optim = new OptimWrapperDict({
      a: make({ accumulativeCounts: 2 }),
      b: make({ lossScale: { initScale: 8 } }),
    });
    const log = {
      every: 1,
      per: "parameter" as const,
      to: (_: number, metrics: object) => void lines.push(metrics),
    };
    const run = createRun({ optim, until: 2, log });
    for await (const iteration of run) {
      run.update("a", loss);
      run.update("b", ({ grad }) => {
        grad("w").fill(iteration === 1 ? Infinity : 1);
        return 3;
      });
    }
    const names = lines.map((line) => Object.keys(line).filter((name) => name.includes(".")));
    const b = ["b.loss", "b.lr", "b.gradNorm", "b.gradNorm[w]", "b.lossScale", "b.skipped"];
    expect(names).toEqual([
      ["a.loss", "a.lr", ...b],
      ["a.loss", "a.lr", "a.gradNorm", "a.gradNorm[w]", ...b],
    ]);
    expect(lines[1]).toMatchObject({ "a.loss": 2, "b.loss": 3, "b.lossScale": 4, "b.skipped": 1 });
  });

  test("waits for its sinks, one after the other, and fails with them", async () => {
    const order: string[] = [];
    const slow = async (step: number): Promise<void> => {
      await wait(5);
      order.push(`slow ${step}`);
    };
    const { run } = createSmall({
      until: 2,
      log: { every: 1, to: [slow, (step) => void order.push(`fast ${step}`)] },
    });
    for await (const iteration of run) order.push(`body ${iteration}`);
    expect(order).toEqual(["body 1", "slow 1", "fast 1", "body 2", "slow 2", "fast 2"]);
    const failing = createSmall({
      log: {
        every: 1,
        to() {
          throw new Error("no room");
        },
      },
    });
    await expect(
      failing.run[Symbol.asyncIterator]()
        .next()
        .then(() => failing.run.untimed(() => 1)),
    ).resolves.toBe(1);
    await expect(
      (async () => {
        for await (const _ of createSmall({
          log: { every: 1, to: () => Promise.reject(new Error("no room")) },
        }).run);
      })(),
    ).rejects.toThrow("no room");
  });

  test("by time finds a number of iterations", async () => {
    const at: number[] = [];
    const { run } = createSmall({ until: 3000, log: { ms: 5, to: (step) => void at.push(step) } });
    for await (const _ of run) run.update(loss);
    // However fast the machine: the first line comes at once, and each interval is at most four times the one before it.
    expect(at[0]).toBe(1);
    expect(at.length).toBeGreaterThan(3);
    for (const [index, step] of at.entries()) {
      if (index < 2) continue;
      const [before = 0, last = 0] = at.slice(index - 2, index);
      expect(step - last).toBeLessThanOrEqual(4 * (last - before));
    }
  });

  test("disposes losses that are tensors, read or not", async () => {
    let alive = 0;
    const tensorLoss = ({ grad }: { grad(name: "w"): Float32Array }) => {
      grad("w").fill(1);
      alive += 1;
      return { data: () => Promise.resolve([7]), dispose: () => void (alive -= 1) };
    };
    const lines: object[] = [];
    const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }));
    // The types of wasm take numbers; a backend of tensors gives tensors.
    const update = (run: { update: unknown }) => (run.update as (loss: unknown) => boolean)(tensorLoss);
    const run = createRun({
      optim,
      until: 4,
      log: { every: 2, to: (_, metrics) => void lines.push(metrics) },
    });
    const keepsNone = vi.spyOn(optim, "updateParams").mockImplementation(((
      given: typeof tensorLoss,
      { returnLoss = false } = {},
    ) => {
      const value = given({ grad: () => new Float32Array(1) });
      if (!returnLoss) value.dispose();
      return { updated: true, ...(returnLoss && { loss: value }) };
    }) as never);
    for await (const iteration of run) {
      update(run);
      update(run);
      if (iteration === 4) break;
    }
    expect([alive, lines.length, lines[0]]).toEqual([0, 1, expect.objectContaining({ loss: 7 })]);
    expect(keepsNone).toHaveBeenCalledTimes(8);
  });
});

describe("skipped steps in a row", () => {
  const train = async (isBad: (iteration: number) => boolean): Promise<number> => {
    const { run } = createSmall({ until: 200, maxSkipped: 20, log: { every: 5 } }, { onNonFinite: "skip" });
    let last = 0;
    try {
      for await (const iteration of run) {
        last = iteration;
        run.update(({ grad }) => {
          grad("w").fill(isBad(iteration) ? Number.NaN : 1);
          return 0;
        });
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "non-finite-gradient" });
      return last;
    }
    return -last;
  };

  test("end a run, one interval of the log late at most", async () => {
    // From 51 on all are bad: 20 of them are done after 70, and seen there.
    expect(await train((iteration) => iteration > 50)).toBe(70);
    expect(await train((iteration) => iteration > 52)).toBe(75);
  });

  test("do not where a step was taken in between", async () => {
    expect(await train((iteration) => iteration % 19 !== 0)).toBe(-200);
  });
});

describe("what others ask for", () => {
  test("runs between two iterations, in order, and while the run is paused", async () => {
    const { run, optim } = createSmall({ until: 60, yieldEvery: 0 });
    const seen: string[] = [];
    let inBody = false;
    const others = (async () => {
      await wait(5);
      run.pause();
      const at = await run.between(() => {
        expect(inBody).toBe(false);
        seen.push("paused");
        return run.iteration;
      });
      await wait(20);
      expect(run.iteration).toBe(at);
      const [first, second] = [run.between(() => seen.push("first")), run.between(() => seen.push("second"))];
      await Promise.all([first, second]);
      await run.between(() => (optim.paramGroups[0].lr = 0.5));
      await expect(run.between(() => Promise.reject(new Error("theirs")))).rejects.toThrow("theirs");
      run.unpause();
    })();
    for await (const _ of run) {
      inBody = true;
      run.update(loss);
      await wait(1);
      inBody = false;
    }
    await others;
    expect([seen, optim.getLr().lr]).toEqual([["paused", "first", "second"], [0.5]]);
    // Without a loop at once.
    expect(await run.between(() => 7)).toBe(7);
  });

  test("wakes a paused run whenever it comes", async () => {
    // Asked for at every moment of falling asleep.
    for (let ticks = 0; ticks < 12; ticks += 1) {
      const { run } = createSmall({ until: 2 });
      run.pause();
      const training = (async () => {
        for await (const _ of run) run.update(loss);
      })();
      for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve();
      expect(await run.between(() => "heard")).toBe("heard");
      run.unpause();
      await training;
      expect(run.done).toBe(true);
    }
  });

  test("a signal and a stop end a paused run", async () => {
    const controller = new AbortController();
    for (const end of [(run: { stop(): void }) => run.stop(), () => controller.abort()]) {
      const { run } = createSmall({ signal: controller.signal });
      run.pause();
      setTimeout(() => end(run), 10);
      for await (const _ of run) throw new Error("it is paused");
      expect(run.iteration).toBe(0);
    }
  });

  test("other wrappers and schedulers from then on", async () => {
    const { run, w } = createSmall({ until: 4 });
    const other = createOptimWrapper(wasmOptimizer(sgd({ lr: 10 }), { w }));
    const changing = run.between(() => undefined);
    await changing;
    for await (const iteration of run) {
      run.update(loss);
      if (iteration === 2) void run.between(() => run.use(other));
    }
    expect(w[0]).toBe(-22); // 1 + 1 + 10 + 10
    expect(thrownBy(() => run.use(3 as never)).code).toBe("invalid-wrapper");
  });

  test("a message is handled before the second iteration after it arrived", async () => {
    const { port1, port2 } = new MessageChannel();
    const { run } = createSmall({ until: 50, yieldEvery: 0 });
    const late: number[] = [];
    port2.addEventListener("message", ({ data }: MessageEvent<number>) => late.push(run.iteration - data));
    port2.start();
    for await (const iteration of run) port1.postMessage(iteration);
    await wait(5);
    port1.close();
    expect(late).toHaveLength(50);
    // Sent in the body of `iteration`; where none is done after it, the difference is 0.
    expect(Math.max(...late)).toBeLessThanOrEqual(1);
  });

  test("within yieldEvery where iterations are short", async () => {
    const { run } = createSmall({ until: Infinity, yieldEvery: 5 });
    setTimeout(() => run.stop());
    for await (const _ of run) run.update(loss);
    expect(run.stopped).toBe("stopped");
  });
});

describe("the clock", () => {
  test("stands still for what is not training", async () => {
    const store = memoryStore();
    const { run } = createSmall({ until: 2, store });
    for await (const iteration of run) {
      run.update(loss);
      await run.untimed(() => wait(50));
      if (iteration === 1) void run.between(() => wait(50));
    }
    expect(run.seconds).toBeLessThan(0.05);
    expect(run.seconds).toBeGreaterThan(0);
    const { seconds } = run;
    await wait(5);
    expect(run.seconds).toBe(seconds);
  });

  test("is handed what the work gives, or its error, and goes on", async () => {
    const { run } = createSmall({ until: 1 });
    for await (const _ of run) {
      expect(await run.untimed(() => 3)).toBe(3);
      await expect(run.untimed(() => Promise.reject(new Error("theirs")))).rejects.toThrow("theirs");
      await wait(10);
    }
    expect(run.seconds).toBeGreaterThan(0.008);
  });
});

test.each<readonly [string, object, string]>([
  [
    "a number of iterations that is none",
    { until: -1 },
    "createRun.until: expected a number of iterations, or Infinity, got -1",
  ],
  ["options that nobody reads", { untill: 3 }, "createRun: expected one of optim, schedulers, until,"],
  [
    "two paces of the log",
    { log: { every: 1, ms: 5 } },
    "createRun: log.ms: expected nothing beside every, got 5",
  ],
  ["a sink that is none", { log: { to: [3] } }, "createRun: log.to: expected a function, got 3"],
  ["saves without a store", { saveEvery: 3 }, "createRun: saveEvery: expected a store beside it, got 3"],
  [
    "a store that is none",
    { store: {} },
    "createRun.store: expected a store, such as checkpointStore(checkpoints)",
  ],
  ["agreement without ranks", { agreeEvery: 3 }, "createRun: agreeEvery: expected ranks beside it, got 3"],
  [
    "a part without a state",
    { state: { a: {} } },
    "createRun.state.a: expected something with stateDict and loadStateDict",
  ],
  ["schedulers that are none", { schedulers: 3 }, "createRun.schedulers: expected a scheduler"],
  [
    "no wrapper",
    { optim: 3 },
    "createRun: optim: expected a wrapper, a dict, or pairs of name and wrapper, got 3",
  ],
  ["pairs without wrappers", { optim: [["a", 3]] }, "createRun: optim: expected a wrapper"],
])("createRun refuses %s", (_, options, message) => {
  const { optim } = createSmall();
  expect(thrownBy(() => createRun({ optim, ...options } as never)).message.slice(0, message.length)).toBe(
    message,
  );
});
