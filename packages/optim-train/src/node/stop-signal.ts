/// <reference lib="esnext.disposable" preserve="true" />

import type { RunSignal } from "../run-options.ts";

const signals = ["SIGINT", "SIGTERM"] as const;

/**
 * An `AbortSignal` that aborts at Ctrl-C or SIGTERM. A second one ends the process at once, as if nobody listened. `dispose()` stops listening (`[Symbol.dispose]`, for
 * `using`, does the same where the symbol exists).
 */
export function stopSignal(): RunSignal & { dispose(): void; readonly [Symbol.dispose]: () => void } {
  const controller = new AbortController();
  const dispose = (): void => {
    for (const one of signals) process.off(one, abort);
  };
  const abort = (): void => {
    dispose();
    controller.abort();
  };
  for (const one of signals) process.on(one, abort);
  const signal: object = Object.assign(controller.signal, { dispose });
  Object.defineProperty(signal, (Symbol.dispose as symbol | undefined) ?? "dispose", { value: dispose });
  return signal as ReturnType<typeof stopSignal>;
}
