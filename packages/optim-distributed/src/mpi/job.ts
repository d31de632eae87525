import { OptimError } from "@mm/optim-core";
import type { Health } from "../communicator.ts";
import type { Handles, HandleCell } from "./abi.ts";
import type { MpiFunctions } from "./functions.ts";
import { processorGiver } from "./native.ts";

/** Tests between two looks at the clock. */
const between = 64;
/** Tests before the processor is offered to other processes, which may be the ranks that are waited for. */
const patience = 2000;
/**
 * How long a wait is before the process naps between tests. Tests are what moves a message on, a piece at a time: a process that naps makes the other
 * ranks wait for every piece.
 */
const napAfterMs = 1000;
const napMs = 0.05;

/** MPI from its initialization to its end, and the ways to wait for it. */
export class Job {
  readonly functions: MpiFunctions;
  readonly handles: Handles;
  readonly timeoutMs: number;
  readonly #nap = new Int32Array(new SharedArrayBuffer(4));
  readonly #giveWay = processorGiver();
  #closed = false;

  constructor(functions: MpiFunctions, handles: Handles, timeoutMs: number) {
    this.functions = functions;
    this.handles = handles;
    this.timeoutMs = timeoutMs;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Waits for a request, testing it: a blocking call of MPI could not be given up. */
  waitSync(who: string, request: HandleCell, health: Health): void {
    const { functions, timeoutMs } = this;
    const begin = performance.now();
    try {
      for (let tests = 1; !functions.test(request); tests += 1) {
        if (tests % between !== 0) continue;
        const waited = performance.now() - begin;
        if (waited > timeoutMs) throw this.late(who);
        if (waited > napAfterMs) Atomics.wait(this.#nap, 0, 0, napMs);
        else if (tests > patience) this.#giveWay();
      }
    } catch (error) {
      throw health.fail(error as OptimError);
    }
  }

  /**
   * Waits for a request on another thread; the event loop runs.
   *
   * @param buffers what MPI reads and writes until then, kept from garbage collection
   */
  wait(who: string, request: HandleCell, health: Health, buffers: readonly unknown[]): Promise<void> {
    const { functions, timeoutMs } = this;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(health.fail(this.late(who))), timeoutMs);
      functions.wait(request, (error, code) => {
        clearTimeout(timer);
        void buffers;
        if (error !== null && error !== undefined) {
          reject(health.fail(new OptimError("communication-error", who, { cause: error })));
        } else if (code !== 0) reject(health.fail(functions.error("Wait", code)));
        else resolve();
      });
    });
  }

  late(who: string): OptimError {
    return new OptimError("communication-timeout", who, {
      expected: `all ranks within ${this.timeoutMs} ms (timeoutMs)`,
      hint: "A rank hangs, is slower than that, or makes other calls than this one",
    });
  }

  finalize(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.functions.call("Finalize");
  }
}
