import type { OptimizerParts } from "./parts.ts";

/** The norms of the gradients that the last step took, by name: all reads are started before the first await. */
export async function readGradNorms<P, V, S>({
  engine,
  pending: { lastStep },
}: OptimizerParts<P, V, S>): Promise<{ readonly [parameter: string]: number } | undefined> {
  if (lastStep === undefined) return undefined;
  const { items, rescale, lossScale } = lastStep;
  const vectors = items.map(({ parameter }) => parameter.accumulator as V);
  const [norms, [scale = 1]] = await Promise.all([
    engine.readNorms?.(vectors) ?? engine.read(vectors).then((tensors) => tensors.map(normOf)),
    lossScale === undefined ? [] : engine.readScalars([lossScale]),
  ]);
  const factor = Math.abs(rescale / scale);
  return Object.fromEntries(
    items.map(({ parameter }, index) => [parameter.name, factor * (norms[index] as number)]),
  );
}

/** In float64, where no square of a float32 overflows. */
function normOf(tensor: Float32Array): number {
  let sum = 0;
  for (const x of tensor) sum += x * x;
  return Math.sqrt(sum);
}
