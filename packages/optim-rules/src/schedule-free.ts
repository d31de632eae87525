import { add, div, eq, max, mul, pow, type Scalar, select, sub, type Tensor } from "@mm/optim-core/rule";

/** The state of every schedule-free rule beside its own slots. */
export interface ScheduleFreeSlots {
  /** y, where gradients are taken. */
  readonly param: Tensor;
  readonly step: Scalar;
  readonly z: Tensor;
  readonly weightSum: Scalar;
  readonly lrMax: Scalar;
}

/** The weights of the average x of z, by step and by the largest learning rate so far. */
export interface Weighting {
  readonly r: Scalar;
  readonly weightLrPower: Scalar;
}

/**
 * One step of a schedule-free rule (Defazio et al., "The Road Less Scheduled", arXiv:2405.15682, algorithm 1):
 *
 * ```
 * c = w/Σw with w = tʳ·γmaxᵖ     0 where Σw = 0
 * y ← (1 − c)y + cz − γ(1 − β(1 − c))·d
 * z ← z − γd
 * ```
 *
 * @param direction d
 * @param rate γ
 * @param beta β, how far y is from z towards x
 */
export function scheduleFreeStep(
  { param, step, z, weightSum, lrMax }: ScheduleFreeSlots,
  direction: Tensor,
  rate: Scalar,
  beta: Scalar,
  { r, weightLrPower }: Weighting,
): Omit<ScheduleFreeSlots, "step"> {
  const largest = max(lrMax, rate);
  const weight = mul(pow(step, r), pow(largest, weightLrPower));
  const sum = add(weightSum, weight);
  const share = select(eq(sum, 0), 0, div(weight, select(eq(sum, 0), 1, sum)));
  const kept = sub(1, share);
  const towards = add(mul(kept, param), mul(share, z));
  return {
    param: sub(towards, mul(mul(rate, sub(1, mul(beta, kept))), direction)),
    z: sub(z, mul(rate, direction)),
    weightSum: sum,
    lrMax: largest,
  };
}

/** x = y + (1 − 1/β)(z − y), the average, which a model is used at. */
export function scheduleFreePoint(
  { param, z }: Pick<ScheduleFreeSlots, "param" | "z">,
  beta: Scalar,
): Tensor {
  return add(param, mul(sub(1, div(1, beta)), sub(z, param)));
}

/** Refuses weights that devices, which have float32 for them, could not add up. */
export function weightsOfFloat32(lr: number, weightLrPower: number): string | undefined {
  const words = "an lr whose power weightLrPower float32 holds";
  return Number.isFinite(Math.fround(lr ** weightLrPower)) ? undefined : words;
}

/** Refuses β at 0, where x could not be found from y and z. */
export function strictlyBetween(name: string, beta: number): string | undefined {
  return beta > 0 && beta < 1 ? undefined : `${name} above 0 and below 1`;
}
