import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createOptimWrapper } from "@mm/optim-core";
import { sgd } from "@mm/optim-rules";
import { createRun } from "@mm/optim-train";
import { jsonLinesFile, progressLines, stopSignal } from "@mm/optim-train/node";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../../test-support/refusal.ts";
import { createLoop, temporaryFolder } from "../loop.ts";

const at = (iteration: number, began = 0, until = 100) => ({ until, began, iteration, seconds: 1 });

describe("a file of JSON lines", () => {
  test("has a line an iteration, which are read as numbers", async () => {
    const file = join(temporaryFolder(), "metrics.jsonl");
    const sink = jsonLinesFile(file);
    expect(sink.read()).toEqual([]);
    await sink(1, { loss: 0.5, norm: Infinity }, at(1));
    await sink(2, { loss: Number.NaN }, at(2));
    expect(readFileSync(file, "utf8")).toBe(
      '{"step":1,"loss":0.5,"norm":"Infinity"}\n{"step":2,"loss":"NaN"}\n',
    );
    expect(sink.read()).toEqual([
      { step: 1, loss: 0.5, norm: Infinity },
      { step: 2, loss: Number.NaN },
    ]);
  });

  test("drops the lines of iterations that are done again, and one that was cut", async () => {
    const file = join(temporaryFolder(), "metrics.jsonl");
    writeFileSync(file, '{"step":1,"loss":1}\n{"step":2,"loss":2}\n{"step":3,"loss":3}\n{"step":4,"lo');
    const sink = jsonLinesFile(file);
    await sink(3, { loss: 30 }, at(3, 2));
    await sink(4, { loss: 40 }, at(4, 2));
    expect(sink.read().map(({ step, loss }) => [step, loss])).toEqual([
      [1, 1],
      [2, 2],
      [3, 30],
      [4, 40],
    ]);
    // The run went back to 1, in the same process.
    await sink(2, { loss: 200 }, at(2, 1));
    expect(sink.read().map(({ step }) => step)).toEqual([1, 2]);
    // Of a loop without a run nobody knows where it began.
    await sink(9, { loss: 9 });
    await jsonLinesFile(file)(1, { loss: 1 });
    expect(sink.read().map(({ step }) => step)).toEqual([1, 2, 9, 1]);
  });

  test("of a run that was resumed is that of one that was not", async () => {
    const whole = join(temporaryFolder(), "whole.jsonl");
    const cut = join(temporaryFolder(), "cut.jsonl");
    const numbers = (file: string) =>
      readFileSync(file, "utf8").replaceAll(/"(seconds|perSecond|secondsLeft)":("[A-Za-z]+"|[^,}]+)/gu, "");
    const folder = temporaryFolder();
    const log = (file: string) => ({ log: { every: 2, to: jsonLinesFile(file) } });
    await createLoop(temporaryFolder(), 30, log(whole)).train();
    await createLoop(folder, 30, log(cut)).train(13);
    // Lines that a killed process had logged past its last checkpoint.
    appendFileSync(cut, '{"step":14,"loss":7}\n{"step":16,"loss":7}\n{"st');
    const second = createLoop(folder, 30, log(cut));
    await second.run.resume();
    await second.train();
    expect(numbers(cut)).toBe(numbers(whole));
  });
});

test("lines of progress are about so many over a run, and the last one", async () => {
  const lines: string[] = [];
  const sink = progressLines((line) => lines.push(line), 4);
  for (let step = 1; step <= 10; step += 1) {
    await sink(
      step,
      { loss: 0.123456, seconds: step, perSecond: 12.3456, secondsLeft: 10.2 - step },
      at(step, 0, 10),
    );
  }
  expect(lines).toEqual([
    "1/10  loss 0.1235  12.3 it/s  10 s left",
    "4/10  loss 0.1235  12.3 it/s  7 s left",
    "7/10  loss 0.1235  12.3 it/s  4 s left",
    "10/10  loss 0.1235  12.3 it/s  1 s left",
  ]);
  const endless: string[] = [];
  const always = progressLines((line) => endless.push(line));
  for (const step of [1, 2]) await always(step, { loss: 1 });
  expect(endless).toEqual(["1  loss 1", "2  loss 1"]);
  expect(thrownBy(() => progressLines(() => undefined, 0)).code).toBe("invalid-option");
});

describe("stopSignal", () => {
  test("ends a run at the first signal, and listens no more", async () => {
    const before = process.listenerCount("SIGINT");
    const signal = stopSignal();
    expect([signal.aborted, process.listenerCount("SIGINT")]).toEqual([false, before + 1]);
    const optim = createOptimWrapper(wasmOptimizer(sgd(), { w: new Float32Array(1) }));
    const run = createRun({ optim, signal });
    for await (const iteration of run) if (iteration === 3) process.emit("SIGINT");
    expect([run.iteration, run.stopped, process.listenerCount("SIGINT")]).toEqual([3, "signal", before]);
    signal.dispose();
    const other = stopSignal();
    other.dispose();
    expect([other.aborted, process.listenerCount("SIGTERM")]).toEqual([
      false,
      process.listenerCount("SIGTERM"),
    ]);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s twice ends a process that does not stop", async (name) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", await stripped()], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      child.kill(name);
    });
    const [code, killed] = (await once(child, "exit")) as [number | null, string | null];
    expect([output, code, killed]).toEqual(["ready\naborted\n", null, name]);
  });
});

/** The module as a program of its own. */
async function stripped(): Promise<string> {
  const { transformWithOxc } = await import("vite");
  const file = fileURLToPath(new URL("../../src/node/stop-signal.ts", import.meta.url));
  const { code } = await transformWithOxc(readFileSync(file, "utf8"), file);
  return `${code}
    const signal = stopSignal();
    signal.addEventListener("abort", () => console.log("aborted"));
    console.log("ready");
    setInterval(() => {}, 1000);`;
}
