import { biasCorrection, div, mul, pow, type Scalar, sqrt, sub } from "@mm/optim-core/rule";

/** Of an average of squares: its length ρ = ρ∞ − 2tβᵗ/(1 − βᵗ), and that after infinitely many steps, ρ∞ = 2/(1 − β) − 1. */
export interface AverageLength {
  readonly length: Scalar;
  readonly longest: Scalar;
}

export function averageLength(beta: Scalar, step: Scalar): AverageLength {
  const longest = sub(div(2, sub(1, beta)), 1);
  const spent = div(mul(mul(2, step), pow(beta, step)), biasCorrection(beta, step));
  return { length: sub(longest, spent), longest };
}

/** RAdam's r = √((ρ − 4)(ρ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρ)), for ρ above 4. */
export function rectifier({ length, longest }: AverageLength): Scalar {
  const above = mul(mul(sub(length, 4), sub(length, 2)), longest);
  const below = mul(mul(sub(longest, 4), sub(longest, 2)), length);
  return sqrt(div(above, below));
}
