// One number l decides: the cart is pushed to the right with probability p = 1 ÷ (1 + e^−l).

export function probability(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

/** ln of the probability of `action`, without overflow: −ln(1 + e^−l) for 1, −ln(1 + e^l) for 0. Its derivative is `action` − p. */
export function logProbability(logit: number, action: number): number {
  const x = action === 1 ? logit : -logit;
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

/** −p ln p − (1 − p) ln(1 − p). Its derivative is −l p (1 − p). */
export function entropy(logit: number): number {
  const p = probability(logit);
  return -p * logProbability(logit, 1) - (1 - p) * logProbability(logit, 0);
}
