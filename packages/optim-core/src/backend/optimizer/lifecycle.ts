import { OptimError } from "../../errors.ts";

/** Which calls an optimizer may take now. */
export class Lifecycle {
  disposed = false;
  /** Whether a load is staged. */
  loading = false;
  readonly #backend: string;
  #insideLoss = false;
  #wrapped = false;

  constructor(backend: string) {
    this.#backend = backend;
  }

  /** The name that error messages of a call begin with. */
  at(call: string): string {
    return `${this.#backend} optimizer: ${call}`;
  }

  /** `Optimizer.guard`. */
  guard(call: string): void {
    if (this.disposed) this.#refuse("disposed", call, "one that was not disposed");
    if (this.#insideLoss) this.#refuse("reentrant", call, "no call from its own loss closure");
    if (this.loading && (call === "prepareLoad" || call === "addParamGroup" || call === "swapIn")) {
      this.#refuse("load-pending", call, "commit() or dispose() of the load before");
    }
    if (call !== "createOptimWrapper") return;
    if (this.#wrapped) this.#refuse("duplicate-wrapper", call, "an optimizer that no wrapper owns yet");
    this.#wrapped = true;
  }

  /** Runs what calls the loss closure. */
  insideLoss<T>(run: () => T): T {
    this.#insideLoss = true;
    try {
      return run();
    } finally {
      this.#insideLoss = false;
    }
  }

  #refuse(
    code: "disposed" | "reentrant" | "load-pending" | "duplicate-wrapper",
    call: string,
    expected: string,
  ): never {
    throw new OptimError(code, this.at(call), { expected });
  }
}
