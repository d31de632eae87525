/**
 * Lets messages, signals and the screen in. A timer of 0 waits 4 ms in a browser. `scheduler.yield()` continues before any message: a worker that
 * used it would never hear its page.
 */
export function nextTask(): Promise<void> {
  const { setImmediate } = globalThis as { readonly setImmediate?: (run: () => void) => void };
  if (setImmediate) return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const heard = (): void => {
      port1.close();
      resolve();
    };
    port1.addEventListener("message", heard, { once: true });
    port1.start();
    port2.postMessage(undefined);
  });
}
