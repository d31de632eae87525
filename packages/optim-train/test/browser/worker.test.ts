import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/browser";
import { expect, onTestFinished, test } from "vitest";

interface Message {
  readonly asked: string;
  readonly answer: unknown;
}

test("a run in a worker hears its page, changes its rule, and leaves a checkpoint in OPFS", async () => {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const folder = "run-of-a-worker";
  const root = await navigator.storage.getDirectory();
  onTestFinished(async () => {
    worker.terminate();
    await root.removeEntry(folder, { recursive: true });
  });
  const waiting = new Map<string, (answer: unknown) => void>();
  worker.addEventListener("message", ({ data: { asked, answer } }: MessageEvent<Message>) =>
    waiting.get(asked)?.(answer),
  );
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- to a worker, no window
  const send = (message: string): void => worker.postMessage(message);
  const told = (asked: string) => new Promise<unknown>((resolve) => waiting.set(asked, resolve));
  const ask = async (asked: string) => {
    const answer = told(asked);
    send(asked);
    return answer;
  };

  const [delays, ready] = [told("delays"), told("ready")];
  send(folder);
  const counts = (await delays) as number[];
  expect(counts).toHaveLength(200);
  expect(Math.max(...counts)).toBeLessThanOrEqual(1);
  await ready;

  // The loop has no end: were messages starved, the first question would have no answer.
  const places: number[] = [];
  for (let question = 0; question < 20; question += 1) places.push((await ask("where")) as number);
  expect([...places].sort((a, b) => a - b)).toEqual(places);
  expect(places.at(-1)).toBeGreaterThan(places[0] as number);

  await ask("pause");
  const paused = await ask("where");
  expect(await ask("where")).toBe(paused);
  await ask("another rule");
  await ask("unpause");
  const end = told("end");
  await ask("stop");
  const [iteration, stopped, w] = (await end) as [number, string, number];
  expect([iteration >= (paused as number), stopped]).toEqual([true, "the page"]);

  const found = await checkpointStore(openCheckpoints(await root.getDirectoryHandle(folder))).find();
  expect(found?.run).toMatchObject({ format: "optim-run", iteration });
  // SGD with a rate of 1 made a step of 1 an iteration, Adam's are a millionth.
  expect(Math.abs(w + (paused as number))).toBeLessThan(1);
});
