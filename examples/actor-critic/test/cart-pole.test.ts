import { describe, expect, it } from "vitest";
import { accelerations, firstState, isFailure, nextState, type State } from "../src/cart-pole.ts";
import { createRandom } from "../src/random.ts";

it("takes the step that can be done by hand: upright, at rest, pushed with 10 N", () => {
  // push ÷ mass = 10 ÷ 1.1 = 9.0909; pole: −9.0909 ÷ (0.5 (4/3 − 0.1 ÷ 1.1)) = −14.6341; cart: 9.0909 + 0.05 · 14.6341 ÷ 1.1 = 9.7561
  const { cart, pole } = accelerations([0, 0, 0, 0], 10);
  expect(pole).toBeCloseTo(-600 / 41, 12);
  expect(cart).toBeCloseTo(400 / 41, 12);
  // Explicit Euler: positions move with the velocities of before, which are zero. 0.02 s later:
  expect(nextState([0, 0, 0, 0], 1)).toEqual([0, 0.02 * cart, 0, 0.02 * pole]);
  expect(nextState([0, 0, 0, 0], 0)).toEqual([0, -0.02 * cart, 0, -0.02 * pole]);
});

it.each<[State, number]>([
  [[0.3, -1.2, 0.2, 1.5], 10],
  [[-1, 0.7, -0.9, -2], -10],
  [[0, 0.1, 3, 0.4], 0],
])("gains as much energy as the push puts in: %j, %d N", (state, push) => {
  // E = ½ (M + m) v² + m l v ω cos θ + ½ · 4/3 m l² ω² + m g l cos θ, and dE/dt has to be push · v.
  const [M, m, l, g] = [1, 0.1, 0.5, 9.8];
  const [, v, angle, ω] = state;
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const { cart, pole } = accelerations(state, push);
  const power =
    (M + m) * v * cart +
    m * l * (cart * ω * cos + v * pole * cos - v * ω * sin * ω) +
    (4 / 3) * m * l * l * ω * pole -
    m * g * l * sin * ω;
  expect(power).toBeCloseTo(push * v, 12);
});

describe("an episode", () => {
  it("fails at 2.4 m from the middle and at 12° from upright", () => {
    expect([2.39, 2.41, -2.41].map((position) => isFailure([position, 9, 0, 9]))).toEqual([
      false,
      true,
      true,
    ]);
    // 12° = 0.20944
    expect([0.2094, 0.2095, -0.2095].map((angle) => isFailure([0, 9, angle, 9]))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it("begins within 0.05 of rest, upright, in the middle", () => {
    const random = createRandom(1, "training");
    const numbers = Array.from({ length: 1000 }, () => firstState(random)).flat();
    expect(Math.max(...numbers)).toBeLessThan(0.05);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(-0.05);
    // 4,000 numbers of deviation 0.1 ÷ √12: their mean is within 4 × 0.1 ÷ √48000 = 0.0018 of 0.
    expect(Math.abs(numbers.reduce((sum, x) => sum + x, 0) / numbers.length)).toBeLessThan(0.0018);
  });
});
