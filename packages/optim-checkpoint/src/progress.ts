/** How far a file is written or read, in bytes. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

export interface ProgressOptions {
  /** Called as bytes go by, and last when all have. Its error ends the reading or writing. */
  readonly onProgress?: (progress: Progress) => void;
}

/** Counts bytes for `onProgress`. */
export function counter(
  total: number,
  { onProgress }: ProgressOptions,
): ((count: number) => void) | undefined {
  if (onProgress === undefined) return undefined;
  let done = 0;
  return (count) => onProgress({ done: (done += count), total });
}
