import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkpointStore } from "@mm/optim-checkpoint";
import { openCheckpoints } from "@mm/optim-checkpoint/node";
import type { Metrics, RunStore } from "@mm/optim-train";
import { expect, it } from "vitest";
import { evaluate } from "../src/evaluate.ts";
import { mean } from "../src/mean.ts";
import { defaultSettings, type Settings } from "../src/settings.ts";
import { createLearner, createTraining, train } from "../src/train.ts";

const times = new Set(["seconds", "perSecond", "secondsLeft"]);

interface How {
  readonly store?: RunStore;
  readonly stopAfter?: number;
  readonly resume?: boolean;
}

async function trained(settings: Settings, { store, stopAfter, resume = false }: How = {}) {
  const learner = createLearner(settings);
  const lines: (readonly [iteration: number, metrics: Metrics])[] = [];
  const run = createTraining(learner, {
    store,
    to(iteration, metrics) {
      const numbers = Object.entries(metrics).filter(([name]) => !times.has(name));
      lines.push([iteration, Object.fromEntries(numbers)]);
      if (iteration === stopAfter) run.stop();
    },
  });
  if (resume) await run.resume();
  await train(learner, run);
  const { actor, critic, environments, returns, random } = learner;
  const weights = [actor, critic].flatMap((network) => Object.values(network).map((values) => [...values]));
  return {
    actor,
    lines,
    end: { weights, environments: environments.value, returns: returns.value, random: random.state() },
  };
}

// About six seconds; longer on a machine that is busy otherwise.
it("balances the pole: a mean return of at least 475 over 100 episodes", { timeout: 300_000 }, async () => {
  const { actor } = await trained(defaultSettings);
  const returns = evaluate(actor, 100, defaultSettings.seed);
  expect(returns).toHaveLength(100);
  expect(mean(returns)).toBeGreaterThanOrEqual(475);
});

it("gives the same numbers for the same seed, others for another", async () => {
  const run = async (seed: number) => {
    const { lines, end } = await trained({ ...defaultSettings, seed, iterations: 3 });
    return { lines, end };
  };
  const [first, again, other] = [await run(1), await run(1), await run(2)];
  expect(again).toEqual(first);
  expect(other.end.weights).not.toEqual(first.end.weights);
});

it("resumed, gives the bits of a run that was not stopped", { timeout: 300_000 }, async () => {
  const settings = { ...defaultSettings, iterations: 5 };
  const whole = await trained(settings);
  const folder = mkdtempSync(join(tmpdir(), "actor-critic-"));
  const store = checkpointStore(openCheckpoints(folder));
  const first = await trained(settings, { store, stopAfter: 2 });
  const second = await trained(settings, { store, resume: true });
  rmSync(folder, { recursive: true });
  expect([...first.lines, ...second.lines]).toEqual(whole.lines);
  expect(second.end).toEqual(whole.end);
});

it("lowers the actor's learning rate along a line, the critic's along half a cosine", async () => {
  const { lines } = await trained({ seed: 1, iterations: 4, actorLr: 0.004, criticLr: 0.002 });
  const rates = (name: string) => lines.map(([, metrics]) => metrics[`${name}.lr`]);
  // After a quarter, a half, three quarters and the whole of all updates: cos 45°, 90°, 135° and 180°.
  const cosines = [Math.SQRT1_2, 0, -Math.SQRT1_2, -1];
  [0.003, 0.002, 0.001, 0].forEach((lr, i) => expect(rates("actor")[i]).toBeCloseTo(lr, 12));
  cosines.forEach((cosine, i) => expect(rates("critic")[i]).toBeCloseTo(0.001 * (1 + cosine), 12));
});
