import { OptimError, type OptimErrorCode } from "@mm/optim-core";
import type { Abi, Handle, HandleCell } from "./abi.ts";
import { endAtOnce, type NativeFunction, type NativeLibrary } from "./native.ts";

/** Types of arguments, in order: P is an address, I an int, H a handle. */
const signatures = {
  Init_thread: "PPIP",
  Initialized: "P",
  Finalize: "",
  Abort: "HI",
  Error_string: "IPP",
  Error_class: "IP",
  Comm_set_errhandler: "HH",
  Comm_rank: "HP",
  Comm_size: "HP",
  Comm_idup: "HPP",
  Comm_free: "P",
  Ibarrier: "HP",
  Iallreduce: "PPIHHHP",
  Ibcast: "PIHIHP",
  Ialltoall: "PIHPIHHP",
  Iallgather: "PIHPIHHP",
  Test: "PPP",
  Wait: "PP",
} as const;

type Name = keyof typeof signatures;

/** The functions of a library, with errors thrown. */
export class MpiFunctions {
  readonly abi: Abi;
  readonly #functions: ReadonlyMap<Name, NativeFunction>;
  readonly #flag = new Int32Array(1);
  readonly #iallreduce: NativeFunction;
  readonly #test: NativeFunction;
  readonly #ignoreStatus: bigint;

  constructor(library: NativeLibrary, abi: Abi) {
    this.abi = abi;
    const types: { readonly [letter: string]: string } = { P: "void *", I: "int", H: abi.type };
    const entries = Object.entries(signatures) as [Name, string][];
    this.#functions = new Map(
      entries.map(([name, letters]) => [
        name,
        library.func(
          `MPI_${name}`,
          "int",
          Array.from(letters, (letter) => types[letter] as string),
        ),
      ]),
    );
    this.#iallreduce = this.#function("Iallreduce");
    this.#test = this.#function("Test");
    this.#ignoreStatus = abi.ignoreStatus;
  }

  /** @throws OptimError `communication-error`, `communication-mismatch` */
  call(name: Name, ...args: readonly unknown[]): void {
    const code = this.#function(name)(...args);
    if (code !== 0) throw this.error(name, code);
  }

  /** Starts what can be waited for; MPI uses the arguments until then. */
  start(name: Name, ...args: readonly unknown[]): HandleCell {
    const request = this.abi.cell();
    this.call(name, ...args, request);
    return request;
  }

  /** Starts a sum in place. Called most often: by `start` it would take twice as long, which shows in sums of some KiB. */
  startSum(buffer: ArrayBufferView, count: number, type: Handle, sum: Handle, comm: Handle): HandleCell {
    const request = this.abi.cell();
    const code = this.#iallreduce(this.abi.inPlace, buffer, count, type, sum, comm, request);
    if (code !== 0) throw this.error("Iallreduce", code);
    return request;
  }

  /** Whether a request is done. Never waits. */
  test(request: HandleCell): boolean {
    const code = this.#test(request, this.#flag, this.#ignoreStatus);
    if (code !== 0) throw this.error("Test", code);
    return this.#flag[0] !== 0;
  }

  /** Waits on another thread. */
  wait(request: HandleCell, done: (error: unknown, code: number) => void): void {
    this.#function("Wait").async(request, this.abi.ignoreStatus, done);
  }

  /** A number that a function writes: a rank, a size. */
  number(name: Name, ...args: readonly unknown[]): number {
    this.call(name, ...args, this.#flag);
    return this.#flag[0] as number;
  }

  error(name: Name, code: number): OptimError {
    const text = Buffer.alloc(8192);
    const length = new Int32Array(1);
    this.#function("Error_string")(code, text, length);
    this.#function("Error_class")(code, this.#flag);
    const truncated = this.#flag[0] === this.abi.truncate;
    const kind: OptimErrorCode = truncated ? "communication-mismatch" : "communication-error";
    return new OptimError(kind, `MPI_${name}`, {
      expected: truncated ? "buffers of one length on all ranks" : "success",
      received: text.toString("latin1", 0, length[0]),
    });
  }

  /** Ends all processes of the job. */
  abort(world: Handle, exitCode: number): void {
    endAtOnce();
    this.#function("Abort")(world, exitCode);
  }

  #function(name: Name): NativeFunction {
    return this.#functions.get(name) as NativeFunction;
  }
}
