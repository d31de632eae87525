/** The factor of raw accumulators: float64, rounded once when it becomes a uniform. */
export function unscaleFactor(rescale: number, lossScale: number | undefined): number {
  return lossScale === undefined ? rescale : rescale / lossScale;
}
