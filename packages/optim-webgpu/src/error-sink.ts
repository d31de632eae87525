import { OptimError } from "@mm/optim-core";
import type { Device } from "./device.ts";

/** The first error among the calls between two reads, as soon as the device has answered. */
interface Found {
  error: OptimError | undefined;
}

/**
 * Errors of the device in the calls of one optimizer. Validation scopes answer later, in the order in which they were closed; a read reports
 * the first error of the calls before it, and none of those after it.
 */
export class ErrorSink {
  readonly #device: Device;
  /** Of the calls since the last read. */
  #found: Found = { error: undefined };
  #last: Promise<unknown> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Runs `run` in a validation scope. `call` is the name that its error has. */
  watch<T>(call: string, run: () => T): T {
    const { gpu, who } = this.#device;
    const found = this.#found;
    gpu.pushErrorScope("validation");
    try {
      return run();
    } finally {
      // A device that is lost meanwhile has no answer, and says so itself.
      this.#last = gpu.popErrorScope().then(
        (error) => {
          if (error === null) return;
          found.error ??= new OptimError("device-error", `${who}: ${call}`, {
            expected: "commands that the device accepts",
            received: error.message.trim(),
            hint: "That call may have done nothing. Label your buffers, passes and pipelines: the device names them",
          });
        },
        () => {},
      );
    }
  }

  /** A read begins: gives what waits for the calls before it, and then throws their first error, if there is one. */
  beginRead(): () => Promise<void> {
    const found = this.#found;
    const last = this.#last;
    this.#found = { error: undefined };
    return async () => {
      await last;
      if (found.error !== undefined) throw found.error;
    };
  }
}
