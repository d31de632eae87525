/**
 * Just enough of the WebAssembly binary format to write functions over one imported memory.
 * WebAssembly core specification, release 2.0, chapters 5.3 to 5.5 (types, instructions, modules).
 */

/** Value types. */
export const i32 = 0x7f;
export const f32 = 0x7d;
export const f64 = 0x7c;
export const v128 = 0x7b;

type Control = "block void" | "loop void" | "end" | "br_if" | "local.get" | "local.set";
type Integer = `i32.${"const" | "lt_u" | "ge_u" | "add" | "sub" | "and" | "shl"}`;
type Double = `f64.${"add" | "promote_f32"}` | "f32.reinterpret_i32";
type Vector =
  `v128.${"load" | "load32_splat" | "store" | "store32_lane" | "const" | "and" | "or" | "bitselect"}`;
type Lanes = "i8x16.shuffle" | "f32x4.splat" | `i32x4.${"extract_lane" | "max_s"}`;
type Singles = `f32x4.${"abs" | "neg" | "sqrt" | "add" | "sub" | "mul" | "div" | "eq" | "lt" | "gt"}`;
type Extremes = `f32x4.${"min" | "max" | "pmin" | "pmax"}`;
type Doubles = `f64x2.${"extract_lane" | "promote_low_f32x4" | "abs" | "add" | "mul"}`;
export type Opcode = Control | Integer | Double | Vector | Lanes | Singles | Extremes | Doubles;

const opcodes: { readonly [name in Opcode]: readonly number[] } = {
  "block void": [0x02, 0x40],
  "loop void": [0x03, 0x40],
  end: [0x0b],
  br_if: [0x0d],
  "local.get": [0x20],
  "local.set": [0x21],
  "i32.const": [0x41],
  "i32.lt_u": [0x49],
  "i32.ge_u": [0x4f],
  "i32.add": [0x6a],
  "i32.sub": [0x6b],
  "i32.and": [0x71],
  "i32.shl": [0x74],
  "f64.add": [0xa0],
  "f64.promote_f32": [0xbb],
  "f32.reinterpret_i32": [0xbe],
  "v128.load": [0xfd, 0x00],
  "v128.load32_splat": [0xfd, 0x09],
  "v128.store": [0xfd, 0x0b],
  "v128.const": [0xfd, 0x0c],
  "i8x16.shuffle": [0xfd, 0x0d],
  "f32x4.splat": [0xfd, 0x13],
  "i32x4.extract_lane": [0xfd, 0x1b],
  "f64x2.extract_lane": [0xfd, 0x21],
  "f32x4.eq": [0xfd, 0x41],
  "f32x4.lt": [0xfd, 0x43],
  "f32x4.gt": [0xfd, 0x44],
  "v128.and": [0xfd, 0x4e],
  "v128.or": [0xfd, 0x50],
  "v128.bitselect": [0xfd, 0x52],
  "v128.store32_lane": [0xfd, 0x5a],
  "f64x2.promote_low_f32x4": [0xfd, 0x5f],
  "i32x4.max_s": [0xfd, 0xb8, 0x01],
  "f32x4.abs": [0xfd, 0xe0, 0x01],
  "f32x4.neg": [0xfd, 0xe1, 0x01],
  "f32x4.sqrt": [0xfd, 0xe3, 0x01],
  "f32x4.add": [0xfd, 0xe4, 0x01],
  "f32x4.sub": [0xfd, 0xe5, 0x01],
  "f32x4.mul": [0xfd, 0xe6, 0x01],
  "f32x4.div": [0xfd, 0xe7, 0x01],
  "f32x4.min": [0xfd, 0xe8, 0x01],
  "f32x4.max": [0xfd, 0xe9, 0x01],
  "f32x4.pmin": [0xfd, 0xea, 0x01],
  "f32x4.pmax": [0xfd, 0xeb, 0x01],
  "f64x2.abs": [0xfd, 0xec, 0x01],
  "f64x2.add": [0xfd, 0xf0, 0x01],
  "f64x2.mul": [0xfd, 0xf2, 0x01],
};

/** One function while it is written. */
export class FunctionWriter {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  readonly #locals: number[] = [];
  readonly #code: number[] = [];

  constructor(parameters: readonly number[], results: readonly number[]) {
    this.parameters = parameters;
    this.results = results;
  }

  /** A new local, 0 at first. */
  local(type: number): number {
    return this.parameters.length + this.#locals.push(type) - 1;
  }

  /** An instruction with its immediate bytes, which are indices below 128, lanes or constants. */
  op(name: Opcode, ...immediates: readonly number[]): this {
    this.#code.push(...opcodes[name], ...immediates);
    return this;
  }

  get(...locals: readonly number[]): this {
    for (const local of locals) this.op("local.get", ...unsigned(local));
    return this;
  }

  set(local: number): this {
    return this.op("local.set", ...unsigned(local));
  }

  int(value: number): this {
    return this.op("i32.const", ...signed(value));
  }

  /** A load or store at a constant byte offset from the address on the stack, aligned to 4 bytes at least. */
  access(name: Opcode, offset: number, ...lane: readonly number[]): this {
    return this.op(name, 2, ...unsigned(offset), ...lane);
  }

  /** The four lanes of a float32 constant. */
  splat(value: number): this {
    const lane = new Uint8Array(new Float32Array([value]).buffer);
    return this.op("v128.const", ...lane, ...lane, ...lane, ...lane);
  }

  body(): number[] {
    const locals = this.#locals.flatMap((type) => [1, type]);
    return sized([...unsigned(this.#locals.length), ...locals, ...this.#code, ...opcodes.end]);
  }
}

/** A module that imports `env.memory` and exports these functions. */
export function assemble(
  functions: { readonly [name: string]: FunctionWriter },
  sharedMemory: boolean,
): Uint8Array {
  const all = Object.entries(functions);
  // A shared memory has to be declared with a maximum; 65,536 pages, the most there are, fit any.
  const limits = sharedMemory ? [3, 0, ...unsigned(65_536)] : [0, 0];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      all.map(([, { parameters, results }]) => [0x60, ...list(parameters), ...list(results)]),
    ),
    ...section(2, [[...text("env"), ...text("memory"), 2, ...limits]]),
    ...section(
      3,
      all.map((_, index) => unsigned(index)),
    ),
    ...section(
      7,
      all.map(([name], index) => [...text(name), 0, ...unsigned(index)]),
    ),
    ...section(
      10,
      all.map(([, writer]) => writer.body()),
    ),
  ]);
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  return [id, ...sized([...unsigned(items.length), ...items.flat()])];
}

function list(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

const sized = list;

/** ASCII only. */
function text(value: string): number[] {
  return list([...value].map((character) => character.charCodeAt(0)));
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

function signed(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest > 63 || rest < -64; rest >>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest & 127];
}
