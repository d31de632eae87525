import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { cosine, createScheduler, linear } from "@mm/optim-schedule";
import { createRun, type FoundRun, plainState, type RunOptions, type Stateful } from "@mm/optim-train";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { createLoop, temporaryFolder } from "./loop.ts";

// 3 epochs of 13 iterations.
const until = 39;

test("a run that is stopped anywhere in three epochs and resumed from its file equals one that was not, to the bit", async () => {
  const whole = createLoop(temporaryFolder(), until);
  await whole.train();
  expect(whole.place()).toMatchObject({ updates: 12, epochs: 3, innerCount: 0 });
  for (let stop = 1; stop < until; stop += 1) {
    const folder = temporaryFolder();
    const first = createLoop(folder, until);
    await first.train(stop);
    expect([first.run.stopped, first.run.iteration, first.run.done]).toEqual(["as asked", stop, false]);
    const second = createLoop(folder, until);
    expect(await second.run.resume()).toBe("checkpoint-000001.safetensors");
    expect([second.run.iteration, second.place()]).toEqual([stop, first.place()]);
    await second.train();
    expect([...first.lines, ...second.lines]).toEqual(whole.lines);
    expect(second.place()).toEqual(whole.place());
    expect([second.run.began, second.run.done, second.run.stopped]).toEqual([stop, true, undefined]);
  }
});

test("a run that is made longer equals one that was planned so, though it ended in mid-window", async () => {
  const whole = createLoop(temporaryFolder(), until);
  await whole.train();
  const folder = temporaryFolder();
  // 22 is 9 into the second epoch: two windows and one micro-batch.
  const short = createLoop(folder, 22);
  await short.train();
  const longer = createLoop(folder, until);
  await longer.run.resume();
  await longer.train();
  expect([longer.place(), [...short.lines.slice(0, 22), ...longer.lines]]).toEqual([
    whole.place(),
    whole.lines.map((line, index) => (index === 21 ? short.lines[21] : line)),
  ]);
});

test("a finished run that is resumed with the same length ends at once, with the same weights", async () => {
  const folder = temporaryFolder();
  const first = createLoop(folder, 22);
  await first.train();
  const again = createLoop(folder, 22);
  await again.run.resume();
  await again.train();
  expect([again.lines, again.place()]).toEqual([[], first.place()]);
});

test("an iteration that comes again has no norm of the step that it made before the resume", async () => {
  const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(1) }), {
    gradNorm: true,
  });
  const lines: string[][] = [];
  const to = (_: number, metrics: object): void => void lines.push(Object.keys(metrics));
  const store = checkpointStore(openCheckpoints(temporaryFolder()));
  const run = createRun({ optim, store, until: 2, log: { every: 1, to } });
  let updates = 2;
  const train = async (): Promise<void> => {
    for await (const iteration of run) {
      if (updates-- > 0) run.update(({ grad }) => grad("w").fill(1).length);
      if (iteration === 1) run.saveAfter("first");
    }
  };
  await train();
  await run.resume({ from: "first" });
  await train();
  expect(lines.map((names) => names.includes("gradNorm"))).toEqual([true, true, false]);
});

test("an empty store is none to resume from, and seconds go on from those of a file", async () => {
  const folder = temporaryFolder();
  const first = createLoop(folder, 5);
  expect(await first.run.resume()).toBeUndefined();
  await first.train();
  const second = createLoop(folder, 5);
  await second.run.resume();
  expect(second.run.seconds).toBeGreaterThan(0);
  expect(second.run.seconds).toBeLessThanOrEqual(first.run.seconds);
});

test("the best is resumed by its name", async () => {
  const folder = temporaryFolder();
  const first = createLoop(folder, 10);
  for await (const iteration of first.run) {
    const { indices } = first.batches.next();
    first.run.update(({ grad }) => {
      grad("line").fill(indices.length);
      return 0;
    });
    if (iteration === 4) first.run.saveAfter("best");
  }
  const second = createLoop(folder, 10);
  expect(await second.run.resume({ from: "best" })).toBe("best.safetensors");
  expect(second.run.iteration).toBe(4);
});

describe("what is refused, before anything has changed", () => {
  const saved = async (): Promise<string> => {
    const folder = temporaryFolder();
    await createLoop(folder, until).train(5);
    return folder;
  };
  const unchanged = async (
    loop: ReturnType<typeof createLoop>,
    resume: () => Promise<unknown>,
    message: RegExp,
  ) => {
    const before = loop.place();
    await expect(resume()).rejects.toThrow(message);
    expect([loop.run.iteration, loop.place()]).toEqual([0, before]);
  };

  test("a schedule that differs, until the program says which holds", async () => {
    const folder = await saved();
    const changed = () => createLoop(folder, until, {}, 600);
    const asked = changed();
    await unchanged(
      asked,
      () => asked.run.resume(),
      /^resume: checkpoint-000001\.safetensors: expected the schedules that were saved, got "lr\[0\]\.length"\. Say which hold: resume\(\{ schedules: "saved" \}\) or "program"$/,
    );
    const [asSaved, asProgram] = [changed(), changed()];
    await asSaved.run.resume({ schedules: "saved" });
    await asProgram.run.resume({ schedules: "program" });
    // 5 iterations with windows of 4: one update.
    const lr = (length: number) => cosine({ length, etaMin: 1e-3 }).at(1, 0.01);
    expect(asSaved.optim.getLr().lr).toEqual([lr(60)]);
    expect(asProgram.optim.getLr().lr).toEqual([lr(600)]);
  });

  /** Two groups; nothing drives the decay. */
  const make = (
    folder: string,
    { lr = 0.1, weightDecay = 0, kind = "linear", state = {} } = {},
    more = {},
  ) => {
    const [body, head] = [Float32Array.of(1), Float32Array.of(1)];
    const groups = [
      { name: "body", params: { body } },
      { name: "head", params: { head }, weightDecay },
    ];
    const optim = createOptimWrapper(wasmOptimizer(adam({ lr }), groups));
    const schedule = kind === "linear" ? linear({ length: 10 }) : cosine({ length: 10 });
    const options: RunOptions<typeof optim> = {
      optim,
      until: 4,
      schedulers: createScheduler(optim, { lr: schedule }),
      state,
      store: checkpointStore(openCheckpoints(folder)),
      ...more,
    };
    const run = createRun(options);
    const train = async (): Promise<void> => {
      for await (const _ of run) {
        run.update(({ grad }) => {
          grad("body").fill(1);
          grad("head").fill(1);
          return 0;
        });
      }
    };
    return { body, head, optim, run, train };
  };

  test("hyperparameters and values to begin with that differ, until the program says which hold", async () => {
    const folder = temporaryFolder();
    const first = make(folder, { weightDecay: 0.5 });
    await first.train();
    const changed = () => make(folder, { lr: 0.2, weightDecay: 0.25 });
    await expect(changed().run.resume()).rejects.toThrow(
      'expected the hyperparameters that were saved, got "lr of group "body", lr of group "head", lr of the base settings, group "head".weightDecay"',
    );
    const [asSaved, asProgram] = [changed(), changed()];
    await asSaved.run.resume({ hyperparameters: "saved" });
    expect(asSaved.optim.paramGroups).toMatchObject(first.optim.paramGroups);
    await asProgram.run.resume({ hyperparameters: "program" });
    // After 4 of 10 counts: ⅓ + ⅔ × 0.4 = 0.6 of the program's 0.2.
    expect(asProgram.optim.paramGroups.map(({ lr }) => Number(lr.toFixed(15)))).toEqual([0.12, 0.12]);
    expect(asProgram.optim.paramGroups[1]).toMatchObject({ weightDecay: 0.25 });
  });

  test("a schedule of another kind is a choice, too; schedules that are there only once are not", async () => {
    const folder = temporaryFolder();
    await make(folder).train();
    await expect(make(folder, { kind: "cosine" }).run.resume()).rejects.toThrow(
      'expected the schedules that were saved, got "lr[0] linear instead of cosine"',
    );
    const other = make(folder, { kind: "cosine" });
    await other.run.resume({ schedules: "program" });
    expect(other.optim.getLr().lr[0]).toBe(cosine({ length: 10 }).at(4, 0.1));
    await expect(make(folder, {}, { schedulers: undefined }).run.resume()).rejects.toMatchObject({
      code: "state-mismatch",
      unexpected: ["schedulers"],
    });
    const bare = temporaryFolder();
    await make(bare, {}, { schedulers: undefined }).train();
    await expect(make(bare).run.resume()).rejects.toMatchObject({ missing: ["schedulers"] });
  });

  test("parts that are not there, or that nobody takes", async () => {
    const folder = temporaryFolder();
    await make(folder, { state: { a: plainState(1), b: plainState(2) } }).train();
    await expect(
      make(folder, { state: { b: plainState(0), c: plainState(0) } }).run.resume(),
    ).rejects.toMatchObject({
      code: "state-mismatch",
      missing: ["c"],
      unexpected: ["a"],
    });
    const b = plainState(0);
    await make(folder, { state: { a: plainState(undefined), b } }).run.resume();
    expect(b.value).toBe(2);
  });

  test("a part that refuses its state, and wrappers that refuse theirs, leave all parts as they were", async () => {
    const folder = temporaryFolder();
    const refusing = (): Stateful => ({
      stateDict: () => 3,
      loadStateDict() {
        throw new Error("not mine");
      },
    });
    await make(folder, { state: { a: plainState(1), b: plainState(2) } }).train();
    const a = plainState(10);
    const second = make(folder, { state: { a, b: refusing() } });
    await expect(second.run.resume()).rejects.toThrow("not mine");
    expect([a.value, [...second.body], second.run.iteration]).toEqual([10, [1], 0]);

    // Other parameters: the load of the wrapper refuses, after the parts were loaded.
    const [w, kept] = [Float32Array.of(1), plainState(7)];
    const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 0.1 }), { w }));
    const store = checkpointStore(openCheckpoints(folder));
    const scheduler = createScheduler(optim, { lr: linear({ length: 10 }) });
    const run = createRun({ optim, schedulers: scheduler, store, state: { a: kept, b: plainState(0) } });
    await expect(run.resume({ hyperparameters: "saved" })).rejects.toMatchObject({ code: "state-mismatch" });
    expect([kept.value, scheduler.updates, [...w], run.iteration]).toEqual([7, 0, [1], 0]);
  });

  test("what is no run", async () => {
    const { run } = make(temporaryFolder());
    const found = (saved: unknown): FoundRun => ({
      name: "a",
      run: saved,
      restore: () => Promise.reject(new Error("it is not reached")),
    });
    await expect(run.resume({ from: found({ format: "other" }) })).rejects.toMatchObject({
      code: "invalid-state",
    });
    await expect(run.resume({ from: found(null) })).rejects.toMatchObject({ code: "invalid-state" });
    await expect(run.resume({ schedules: "mine" as never })).rejects.toMatchObject({
      code: "invalid-option",
    });
    await expect(make(temporaryFolder(), {}, { store: undefined }).run.resume()).rejects.toMatchObject({
      code: "invalid-option",
    });
    await expect(run.resume({ from: "best" })).rejects.toMatchObject({ code: "storage-error" });
  });
});
