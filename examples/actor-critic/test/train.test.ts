import { expect, it } from "vitest";
import { evaluate } from "../src/evaluate.ts";
import { mean } from "../src/mean.ts";
import { defaultSettings } from "../src/settings.ts";
import { type Metrics, train } from "../src/train.ts";

// About six seconds; longer on a machine that is busy otherwise.
it("balances the pole: a mean return of at least 475 over 100 episodes", { timeout: 300_000 }, async () => {
  const actor = await train(defaultSettings, () => {});
  const returns = evaluate(actor, 100, defaultSettings.seed);
  expect(returns).toHaveLength(100);
  expect(mean(returns)).toBeGreaterThanOrEqual(475);
});

it("gives the same numbers for the same seed, others for another", async () => {
  const run = async (seed: number) => {
    const history: Metrics[] = [];
    const actor = await train({ ...defaultSettings, seed, iterations: 3 }, (metrics) =>
      history.push(metrics),
    );
    return { history, weights: Object.values(actor).map((weights) => [...weights]) };
  };
  const [first, again, other] = [await run(1), await run(1), await run(2)];
  expect(again).toEqual(first);
  expect(other.weights).not.toEqual(first.weights);
});

it("lowers the actor's learning rate along a line, the critic's along half a cosine", async () => {
  const rates: Record<"actor" | "critic", number[]> = { actor: [], critic: [] };
  await train({ seed: 1, iterations: 4, actorLr: 0.004, criticLr: 0.002 }, ({ actor, critic }) => {
    rates.actor.push(actor.lr);
    rates.critic.push(critic.lr);
  });
  // After a quarter, a half, three quarters and the whole of all updates: cos 45°, 90°, 135° and 180°.
  const cosines = [Math.SQRT1_2, 0, -Math.SQRT1_2, -1];
  [0.003, 0.002, 0.001, 0].forEach((lr, i) => expect(rates.actor[i]).toBeCloseTo(lr, 12));
  cosines.forEach((cosine, i) => expect(rates.critic[i]).toBeCloseTo(0.001 * (1 + cosine), 12));
});
