interface DeviceLoss {
  data?(): PromiseLike<ArrayLike<number>>;
  dispose?(): void;
}

/** The number of a loss: of a tensor of tfjs, its first element, for which it waits. The tensor is disposed. */
export async function readLoss(loss: unknown): Promise<number | undefined> {
  if (loss === undefined || typeof loss === "number") return loss;
  try {
    return (await (loss as DeviceLoss).data?.())?.[0];
  } finally {
    disposeLoss(loss);
  }
}

export function disposeLoss(loss: unknown): void {
  (loss as DeviceLoss | undefined)?.dispose?.();
}
