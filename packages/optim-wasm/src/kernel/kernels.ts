import {
  type ElementPass,
  type Extents,
  isFlat,
  lengthAlong,
  memo,
  type Program,
  reduceArray,
  type Reduction,
  refuse,
  type TensorReduction,
  type VectorKernels,
} from "@mm/optim-core/backend";
import type { Coefficients } from "@mm/optim-core/rule";
import { emitGeneral, emitProgram, namedPasses } from "./emit.ts";
import { emitMatrix } from "./emit-matrix.ts";
import { type MatrixExports, orthogonalize } from "./orthogonalize.ts";
import type { Vector } from "./vector.ts";
import { Workspace } from "./workspace.ts";
import { type WasmMemory, type WasmModule, type WasmNamespace, webAssembly } from "./webassembly.ts";

export interface KernelOptions {
  /** Whether the memory is shared between threads; a module has to declare it. Default `false`. */
  readonly shared?: boolean;
  /**
   * The address, a multiple of 16, of room for so many bytes, which kernels may use at once; asked for again, more may be elsewhere. Without it,
   * rules are refused that need room beside their vectors: sums of columns, matrices.
   *
   * @throws OptimError `unsupported`, `arena-full` where there is not so much
   */
  readonly room?: (bytes: number) => number;
}

interface GeneralExports {
  readonly add: (accumulator: number, gradient: number, length: number, scale: number) => void;
  readonly replace: GeneralExports["add"];
  readonly squares: (vector: number, length: number) => number;
  readonly sizes: GeneralExports["squares"];
  readonly largest: GeneralExports["squares"];
}

/** Returns a number, or an array where a pass has several reductions per tensor. */
type PassExport = (...args: readonly number[]) => number | readonly number[] | undefined;

/** The functions of a program, by pass. */
type ProgramExports = ReadonlyMap<ElementPass, PassExport>;

/** Modules by what they were compiled from. A stubbed or removed `WebAssembly` finds none of those of another. */
class Compiler {
  readonly #namespace: WasmNamespace;
  readonly #shared: boolean;
  readonly #general: WasmModule;
  readonly #programs = new WeakMap<Program, WasmModule>();
  #matrix: WasmModule | undefined;

  constructor(namespace: WasmNamespace, shared: boolean) {
    this.#namespace = namespace;
    this.#shared = shared;
    this.#general = new namespace.Module(emitGeneral(shared));
  }

  general(memory: WasmMemory): GeneralExports {
    return this.#instantiate(this.#general, memory) as GeneralExports;
  }

  program(program: Program, memory: WasmMemory): ProgramExports {
    const compile = (): WasmModule => new this.#namespace.Module(emitProgram(program, this.#shared));
    const functions = this.#instantiate(memo(this.#programs, program, compile), memory) as {
      readonly [name: string]: PassExport;
    };
    return new Map(namedPasses(program).map(({ name, pass }) => [pass, functions[name] as PassExport]));
  }

  matrix(memory: WasmMemory): MatrixExports {
    this.#matrix ??= new this.#namespace.Module(emitMatrix(this.#shared));
    return this.#instantiate(this.#matrix, memory) as MatrixExports;
  }

  #instantiate(module: WasmModule, memory: WasmMemory): object {
    return new this.#namespace.Instance(module, { env: { memory } }).exports;
  }
}

const compilers = /* @__PURE__ */ new WeakMap<WasmNamespace, Map<boolean, Compiler>>();

function compilerFor(shared: boolean): Compiler {
  const namespace = webAssembly() as WasmNamespace;
  const known = memo(compilers, namespace, () => new Map<boolean, Compiler>());
  return memo(known, shared, () => new Compiler(namespace, shared));
}

/**
 * Whether SIMD modules can be compiled here and now: `false` without WebAssembly, without SIMD, and under a content security policy
 * that lacks `wasm-unsafe-eval`.
 */
export function kernelsAvailable(): boolean {
  try {
    return webAssembly() !== undefined && compilerFor(false) instanceof Compiler;
  } catch {
    return false;
  }
}

interface Bound {
  readonly memory: WasmMemory;
  readonly general: GeneralExports;
  readonly programs: WeakMap<Program, ProgramExports>;
  matrix: MatrixExports | undefined;
}

const boundTo = /* @__PURE__ */ new WeakMap<WasmMemory, Bound>();

/** Kernels of which some compile programs: when a program is first used, or before. */
export interface ProgramKernels<V> extends VectorKernels<V> {
  /** Compiles a program that is not compiled yet, so that `run` cannot fail. Absent where nothing is compiled. */
  compile?(program: Program): void;
}

export class WasmKernels implements ProgramKernels<Vector> {
  readonly #compiler: Compiler;
  /** Reused from call to call. */
  readonly #args: number[] = [];
  #bound: Bound | undefined;
  readonly #workspace: Workspace;

  constructor(memory: WasmMemory, { shared = false, room = refuseRoom }: KernelOptions) {
    this.#compiler = compilerFor(shared);
    this.#workspace = new Workspace(room);
    this.bind(memory);
  }

  /** Works on the vectors of this memory from now on. */
  bind(memory: WasmMemory): void {
    const instantiate = (): Bound => ({
      memory,
      general: this.#compiler.general(memory),
      programs: new WeakMap(),
      matrix: undefined,
    });
    this.#bound = memo(boundTo, memory, instantiate);
  }

  accumulate({ pointer, length }: Vector, gradient: Vector, scale: number, overwrite: boolean): void {
    this.#live.general[overwrite ? "replace" : "add"](pointer, gradient.pointer, length, scale);
  }

  reduce({ pointer, length }: Vector, reduction: Reduction, finiteOnly = false): number {
    const { general, memory } = this.#live;
    if (!finiteOnly) {
      if (reduction === "max") return general.largest(pointer, length);
      const { power, scale } = reduction;
      if (scale === 1 && power === 2) return general.squares(pointer, length);
      if (scale === 1 && power === 1) return general.sizes(pointer, length);
    }
    // Any other power takes its time in Math.pow, wherever the loop is.
    return reduceArray(new Float32Array(memory.buffer, pointer, length), reduction, finiteOnly);
  }

  run(
    program: Program,
    pass: ElementPass,
    vectors: readonly Vector[],
    extents: Extents,
    uniforms: Float32Array,
    sums: Float64Array,
  ): void {
    const args = this.#args;
    args.length = 0;
    for (let index = 0; index < vectors.length; index += 1) args.push((vectors[index] as Vector).pointer);
    if (isFlat(program, pass)) args.push(lengthAlong(extents, pass.axes));
    else args.push(extents.rows, extents.cols, this.#workspace.address);
    for (let uniform = 0; uniform < uniforms.length; uniform += 1) args.push(uniforms[uniform] as number);
    const found = (this.#exportsOf(program).get(pass) as PassExport)(...args);
    if (pass.kind === "update" || found === undefined) return;
    let next = 0;
    for (const index of pass.reductions) {
      if ((program.reductions[index] as TensorReduction).per !== "tensor") continue;
      sums[index] = typeof found === "number" ? found : (found[next] as number);
      next += 1;
    }
  }

  reserve(program: Program, extents: Extents): void {
    this.#workspace.reserve(program, extents);
  }

  scratch(program: Program, extents: Extents): readonly Vector[] {
    return this.#workspace.vectors(program, extents);
  }

  orthogonalize(matrix: Vector, extents: Extents, coefficients: readonly Coefficients[]): void {
    const bound = this.#live;
    bound.matrix ??= this.#compiler.matrix(bound.memory);
    orthogonalize(bound.matrix, bound.memory, this.#workspace.address, matrix, extents, coefficients);
  }

  compile(program: Program): void {
    this.#exportsOf(program);
    if (program.matrices.length > 0) this.#live.matrix ??= this.#compiler.matrix(this.#live.memory);
  }

  /** Lets go of the memory. Nothing is called after it. */
  unbind(): void {
    this.#bound = undefined;
  }

  get #live(): Bound {
    return this.#bound as Bound;
  }

  #exportsOf(program: Program): ProgramExports {
    const { memory, programs } = this.#live;
    return memo(programs, program, () => this.#compiler.program(program, memory));
  }
}

function refuseRoom(bytes: number): number {
  return bytes === 0
    ? 0
    : refuse("unsupported", "wasmKernels", "a rule that needs no room beside its vectors", bytes);
}

const kernelsOf = /* @__PURE__ */ new WeakMap<WasmMemory, ProgramKernels<Vector>>();

/**
 * Kernels over the vectors of one memory, equal to the reference to the bit. Allocates nothing in the memory and keeps no view of it,
 * so the memory may grow at any time. A program is compiled once, and instantiated once per memory.
 *
 * @throws what `new WebAssembly.Module` throws where {@link kernelsAvailable} is `false`
 */
export function wasmKernels(memory: WasmMemory, options: KernelOptions = {}): ProgramKernels<Vector> {
  if (options.room !== undefined) return new WasmKernels(memory, options);
  return memo(kernelsOf, memory, () => new WasmKernels(memory, options));
}
