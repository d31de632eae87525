import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/browser";
import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { createRun } from "@mm/optim-train";
import { wasmOptimizer } from "@mm/optim-wasm";

/** The question of the page, which is answered after it. */
type Asked = "where" | "another rule" | "pause" | "unpause" | "stop";

const w = new Float32Array(1);
const sgdOfW = createOptimWrapper(wasmOptimizer(sgd({ lr: 1 }), { w }));
const adamOfW = createOptimWrapper(wasmOptimizer(adam({ lr: 1e-6 }), { w }));

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker, no window
const tell = (asked: string, answer?: unknown): void => self.postMessage({ asked, answer });

/** How many iterations are done between the one in which a message was sent and its handling, with a turn after each. */
async function delays(): Promise<readonly number[]> {
  const { port1, port2 } = new MessageChannel();
  const run = createRun({ optim: sgdOfW, until: 200, yieldEvery: 0 });
  const found: number[] = [];
  port2.addEventListener("message", ({ data }: MessageEvent<number>) => found.push(run.iteration - data));
  port2.start();
  for await (const iteration of run) port1.postMessage(iteration);
  await new Promise((resolve) => setTimeout(resolve, 10));
  port1.close();
  return found;
}

async function train(folder: string): Promise<void> {
  const root = await navigator.storage.getDirectory();
  const directory = await root.getDirectoryHandle(folder, { create: true });
  // Without an end, and nothing in it waits: messages are heard because the run lets them in.
  const run = createRun({ optim: sgdOfW, store: checkpointStore(openCheckpoints(directory)) });
  const answers: { readonly [A in Asked]: () => unknown } = {
    where: () => run.between(() => run.iteration),
    "another rule": () => run.between(() => run.use(adamOfW as never)),
    pause: () => run.pause(),
    unpause: () => run.unpause(),
    stop: () => run.stop("the page"),
  };
  self.addEventListener("message", ({ data }: MessageEvent<Asked>) => {
    void (async () => tell(data, await answers[data]()))();
  });
  tell("ready");
  for await (const _ of run) {
    run.update(({ grad, scale }) => {
      grad("w")[0] = scale;
      return 0;
    });
  }
  tell("end", [run.iteration, run.stopped, w[0]]);
}

const begin = ({ data: folder }: MessageEvent<string>): void => {
  void (async () => {
    tell("delays", await delays());
    await train(folder);
  })();
};
self.addEventListener("message", begin, { once: true });
