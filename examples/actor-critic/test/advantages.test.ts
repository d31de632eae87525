import { expect, it } from "vitest";
import { estimate } from "../src/advantages.ts";
import { observationSize } from "../src/cart-pole.ts";
import { createNetwork } from "../src/network.ts";
import { createRandom } from "../src/random.ts";

it("weighs what comes later: two environments, three steps, worked out by hand", () => {
  // A critic that always says ½.
  const critic = createNetwork(createRandom(1, "training"), 0);
  critic["output.bias"][0] = 0.5;
  const { advantages, targets } = estimate(critic, {
    environments: 2,
    observations: new Float32Array(6 * observationSize),
    nextObservations: new Float32Array(6 * observationSize),
    actions: new Uint8Array(6),
    logProbabilities: new Float32Array(6),
    // The first environment falls in its second step; the second one reaches the limit in its second step.
    failed: Uint8Array.of(0, 0, 1, 0, 0, 0),
    ended: Uint8Array.of(0, 0, 1, 1, 0, 0),
    returns: [],
  });
  // r = 1 − γ = 0.02. A step that goes on: δ = 0.02 + 0.98 · 0.5 − 0.5 = 0.01. A fall: δ = 0.02 − 0.5 = −0.48. γ λ = 0.882.
  const expected = [0.01 - 0.882 * 0.48, 0.01 + 0.882 * 0.01, -0.48, 0.01, 0.01, 0.01];
  expected.forEach((advantage, i) => {
    expect(advantages[i]).toBeCloseTo(advantage, 6);
    expect(targets[i]).toBeCloseTo(advantage + 0.5, 6);
  });
});
