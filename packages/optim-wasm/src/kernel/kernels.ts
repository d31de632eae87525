import { memo, type Program, reduceArray, type Reduction, type VectorKernels } from "@mm/optim-core/backend";
import { emitGeneral, emitProgram } from "./emit.ts";
import { type WasmMemory, type WasmModule, type WasmNamespace, webAssembly } from "./webassembly.ts";

/** A vector of float32 in a WebAssembly memory. */
export interface Vector {
  /** Byte address, a multiple of 4 (of 16 is faster). */
  readonly pointer: number;
  /** In elements. */
  readonly length: number;
}

export interface KernelOptions {
  /** Whether the memory is shared between threads; a module has to declare it. Default `false`. */
  readonly shared?: boolean;
}

interface GeneralExports {
  readonly add: (accumulator: number, gradient: number, length: number, scale: number) => void;
  readonly replace: GeneralExports["add"];
  readonly squares: (vector: number, length: number) => number;
  readonly sizes: GeneralExports["squares"];
  readonly largest: GeneralExports["squares"];
}

interface ProgramExports {
  readonly update: (...args: readonly number[]) => void;
  /** One number, or an array where there are several norms. */
  readonly norms?: (...args: readonly number[]) => number | readonly number[];
}

/** Modules by what they were compiled from. A stubbed or removed `WebAssembly` finds none of those of another. */
class Compiler {
  readonly #namespace: WasmNamespace;
  readonly #shared: boolean;
  readonly #general: WasmModule;
  readonly #programs = new WeakMap<Program, WasmModule>();

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
    return this.#instantiate(memo(this.#programs, program, compile), memory) as ProgramExports;
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
}

const boundTo = /* @__PURE__ */ new WeakMap<WasmMemory, Bound>();

/** Kernels of which some compile programs: when a program is first used, or before. */
export interface ProgramKernels<V> extends VectorKernels<V> {
  /** Compiles a program that is not compiled yet, so that `norms` and `update` cannot fail. Absent where nothing is compiled. */
  compile?(program: Program): void;
}

export class WasmKernels implements ProgramKernels<Vector> {
  readonly #compiler: Compiler;
  /** Reused from call to call. */
  readonly #args: number[] = [];
  #bound: Bound | undefined;

  constructor(memory: WasmMemory, shared: boolean) {
    this.#compiler = compilerFor(shared);
    this.bind(memory);
  }

  /** Works on the vectors of this memory from now on. */
  bind(memory: WasmMemory): void {
    const instantiate = (): Bound => ({
      memory,
      general: this.#compiler.general(memory),
      programs: new WeakMap(),
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

  norms(
    program: Program,
    param: Vector,
    grad: Vector,
    slots: readonly Vector[],
    uniforms: Float32Array,
    sums: Float64Array,
  ): void {
    const found = this.#exportsOf(program).norms?.(...this.#arguments(param, grad, slots, uniforms)) ?? [];
    if (typeof found === "number") sums[0] = found;
    else sums.set(found);
  }

  update(
    program: Program,
    param: Vector,
    grad: Vector,
    slots: readonly Vector[],
    uniforms: Float32Array,
  ): void {
    this.#exportsOf(program).update(...this.#arguments(param, grad, slots, uniforms));
  }

  compile(program: Program): void {
    this.#exportsOf(program);
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

  #arguments(
    param: Vector,
    grad: Vector,
    slots: readonly Vector[],
    uniforms: Float32Array,
  ): readonly number[] {
    const args = this.#args;
    args.length = 0;
    args.push(param.pointer, grad.pointer);
    for (let slot = 0; slot < slots.length; slot += 1) args.push((slots[slot] as Vector).pointer);
    args.push(param.length);
    for (let uniform = 0; uniform < uniforms.length; uniform += 1) args.push(uniforms[uniform] as number);
    return args;
  }
}

const kernelsOf = /* @__PURE__ */ new WeakMap<WasmMemory, ProgramKernels<Vector>>();

/**
 * Kernels over the vectors of one memory, equal to the reference to the bit. Allocates nothing in the memory and keeps no view of it,
 * so the memory may grow at any time. A program is compiled once, and instantiated once per memory.
 *
 * @throws what `new WebAssembly.Module` throws where {@link kernelsAvailable} is `false`
 */
export function wasmKernels(
  memory: WasmMemory,
  { shared = false }: KernelOptions = {},
): ProgramKernels<Vector> {
  return memo(kernelsOf, memory, () => new WasmKernels(memory, shared));
}
