// A pole stands on a cart that is pushed left or right, always with the same force. The system is that of Barto, Sutton & Anderson,
// "Neuronlike adaptive elements that can solve difficult learning control problems" (1983), without friction; equations without
// friction as in Florian, "Correct equations for the dynamics of the cart-pole system" (2007), eq. 23 and 24; constants, limits and the
// integration are those of CartPole-v1 in Gym.
import type { Random } from "./random.ts";

/** Of the cart: position (m), velocity (m/s); of the pole: angle from upright (rad, positive to the right), angular velocity (rad/s). */
export type State = readonly [position: number, velocity: number, angle: number, angularVelocity: number];

/** 1 pushes the cart to the right, 0 to the left. */
export type Action = 0 | 1;

const gravity = 9.8; // m/s²
const massOfCart = 1; // kg
const massOfPole = 0.1; // kg
const totalMass = massOfCart + massOfPole;
const halfLength = 0.5; // m, from the joint to the centre of mass
const force = 10; // N
const timeStep = 0.02; // s
const farthest = 2.4; // m
const steepest = (12 * Math.PI) / 180; // rad

/** Steps after which an episode ends though the pole stands. Each step gives a reward of 1. */
export const episodeLimit = 500;

/** Four numbers between −0.05 and 0.05. */
export function firstState({ uniform }: Random): State {
  const number = () => 0.1 * uniform() - 0.05;
  return [number(), number(), number(), number()];
}

/** One time step later: explicit Euler, as Gym does it. */
export function nextState(state: State, action: Action): State {
  const [position, velocity, angle, angularVelocity] = state;
  const { cart, pole } = accelerations(state, action === 1 ? force : -force);
  return [
    position + timeStep * velocity,
    velocity + timeStep * cart,
    angle + timeStep * angularVelocity,
    angularVelocity + timeStep * pole,
  ];
}

/** The cart has left the track, or the pole leans by more than 12°. */
export function isFailure([position, , angle]: State): boolean {
  return Math.abs(position) > farthest || Math.abs(angle) > steepest;
}

/** Of the cart in m/s², of the pole in rad/s²; the push in N. */
export function accelerations(
  [, , angle, angularVelocity]: State,
  push: number,
): { readonly cart: number; readonly pole: number } {
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const perMass = (push + massOfPole * halfLength * angularVelocity ** 2 * sin) / totalMass;
  const pole = (gravity * sin - cos * perMass) / (halfLength * (4 / 3 - (massOfPole * cos ** 2) / totalMass));
  const cart = perMass - (massOfPole * halfLength * pole * cos) / totalMass;
  return { cart, pole };
}

/** The input of the networks: four numbers of about −1 to 1. */
export const observationSize = 4;

export function observe([position, velocity, angle, angularVelocity]: State): readonly number[] {
  return [position / farthest, velocity / 2, angle / steepest, angularVelocity / 2];
}
