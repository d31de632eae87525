import { expect, it } from "vitest";
import { observationSize } from "../src/cart-pole.ts";
import { type Batch, type NetworkLoss, policyLoss, valueLoss } from "../src/losses.ts";
import { createNetwork, type Network } from "../src/network.ts";
import { entropy, logProbability, probability } from "../src/policy.ts";
import { createRandom } from "../src/random.ts";

const random = createRandom(3, "training");
const rows = 12;
const batch: Batch = {
  observations: Float32Array.from({ length: rows * observationSize }, random.normal),
  actions: Uint8Array.from({ length: rows }, (_, i) => i % 2),
  // Acted with probabilities from 0.2 to 0.75: ratios on both sides of where the loss clips them.
  logProbabilities: Float32Array.from({ length: rows }, (_, i) => Math.log(0.2 + 0.05 * i)),
  advantages: Float32Array.from({ length: rows }, (_, i) => Math.sin(3 * i)),
  targets: Float32Array.from({ length: rows }, random.uniform),
};

it.each<[string, (network: Network, batch: Batch) => NetworkLoss]>([
  ["policy", policyLoss],
  ["value", valueLoss],
])("the %s loss has the gradients that differences of it have", (_, lossOf) => {
  const network = createNetwork(random, 1);
  const loss = lossOf(network, batch);
  const { gradients } = run(loss);
  for (const [name, weights] of Object.entries(network) as [keyof Network, Float32Array][]) {
    for (let i = 0; i < weights.length; i += 7) {
      const weight = weights[i]!;
      const difference = [1, -1].map((sign) => {
        weights[i] = weight + sign * 2 ** -8;
        return run(loss).value;
      });
      weights[i] = weight;
      const slope = (difference[0]! - difference[1]!) / 2 ** -7;
      // Activations are float32: 2⁻²⁴ · a few ÷ 2⁻⁷ is about 1e-5; the third derivative adds 2⁻¹⁶ of its size.
      expect(Math.abs(gradients.get(name)![i]! - slope), `${name}[${i}]`).toBeLessThan(1e-4);
    }
  }
  expect(
    Math.max(...[...gradients.values()].map((gradient) => Math.max(...gradient.map(Math.abs)))),
  ).toBeGreaterThan(0.05);

  /** As the optimizer would do it: arrays of zeros, and the gradients that the closure writes there. */
  function run(loss: NetworkLoss) {
    const gradients = new Map<string, Float32Array>();
    const grad = (name: keyof Network) => {
      const array = gradients.get(name) ?? new Float32Array(network[name].length);
      gradients.set(name, array);
      return array;
    };
    return { value: loss({ grad, scale: 1 }), gradients };
  }
});

it("probabilities and entropies are finite for any logit, and have the derivatives that are written beside them", () => {
  for (const logit of [-1000, -40, 40, 1000]) {
    const right = logit > 0 ? 1 : 0;
    expect(logProbability(logit, right)).toBeCloseTo(0, 12);
    expect(logProbability(logit, 1 - right)).toBeCloseTo(-Math.abs(logit), 12);
    expect(entropy(logit)).toBeCloseTo(0, 12);
  }
  const slope = (f: (logit: number) => number, at: number) => (f(at + 1e-4) - f(at - 1e-4)) / 2e-4;
  for (const logit of [-3, -0.5, 0, 1, 4]) {
    const p = probability(logit);
    expect(Math.exp(logProbability(logit, 1))).toBeCloseTo(p, 12);
    for (const action of [0, 1])
      expect(slope((l) => logProbability(l, action), logit)).toBeCloseTo(action - p, 6);
    expect(slope(entropy, logit)).toBeCloseTo(-logit * p * (1 - p), 6);
  }
});
