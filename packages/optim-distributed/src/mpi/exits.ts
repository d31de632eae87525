/** Ends of this process, seen by the job. */
export interface JobEnds {
  readonly rank: number;
  /** Whether this rank has taken its leave, so that an exit is no loss to the others. */
  readonly closed: () => boolean;
  readonly close: () => void;
  readonly abort: (exitCode: number) => void;
}

/** How long a launcher is given to pass words on. An abort may make it drop them. */
const passingOnMs = 50;

function tell(text: string): void {
  process.stderr.write(text);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, passingOnMs);
}

/** The exit code of a job that ended by an error. */
const failed = 70;

/**
 * A rank that ends without `close()` would leave the others waiting: it ends the job instead. An error that nobody catches does so at once,
 * `process.exit()` as the process exits. A program that runs out of work closes.
 */
export function watchExits({ rank, closed, close, abort }: JobEnds): void {
  process.on("uncaughtExceptionMonitor", (error: unknown) => {
    // Somebody may go on after it.
    if (closed() || process.listenerCount("uncaughtException") > 0) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    tell(`rank ${rank}: ${text}\n`);
    abort(failed);
  });
  process.once("beforeExit", close);
  process.once("exit", (code) => {
    if (closed()) return;
    if (code === 0) tell(`rank ${rank}: exit before close(): the job ends with ${failed}\n`);
    abort(code === 0 ? failed : code);
  });
}
