/**
 * Just enough of the WebAssembly binary format to write functions over one imported memory: core specification, release 2.0, chapters
 * 5.2 (values), 5.3 (types) and 5.5 (modules).
 */
import * as op from "./opcodes.ts";

/** Value types. */
export const i32 = 0x7f;
export const f32 = 0x7d;
export const f64 = 0x7c;
export const v128 = 0x7b;

const noResult = 0x40;

/** One function while it is written. Its parameters are its first locals. */
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

  /** An instruction, with the bytes that it takes. */
  op(instruction: number, ...bytes: readonly number[]): this {
    if (instruction < 0x100) this.#code.push(instruction, ...bytes);
    else this.#code.push(0xfd, ...unsigned(instruction - 0x100), ...bytes);
    return this;
  }

  get(...locals: readonly number[]): this {
    for (const local of locals) this.op(op.localGet, ...unsigned(local));
    return this;
  }

  set(local: number): this {
    return this.op(op.localSet, ...unsigned(local));
  }

  int(value: number): this {
    return this.op(op.i32Const, ...signed(value));
  }

  /** The constant vector of four float32 lanes. */
  splat(value: number): this {
    const bytes = new Uint8Array(Float32Array.of(value, value, value, value).buffer);
    return this.op(op.v128Const, ...bytes);
  }

  /** The constant vector of four integers. */
  integers(value: number): this {
    return this.op(op.v128Const, ...new Uint8Array(Int32Array.of(value, value, value, value).buffer));
  }

  /** A load or store, `offset` bytes from the address on the stack, aligned to 4, or to 2 where it is of 16 bits. */
  access(instruction: number, offset: number, ...lane: readonly number[]): this {
    const alignment = instruction === op.i32Load16U || instruction === op.v128Store16Lane ? 1 : 2;
    return this.op(instruction, alignment, ...unsigned(offset), ...lane);
  }

  /** Repeats `body` as long as the address in `local` is below that in `bound`, which it may be from the start. */
  whileBelow(local: number, bound: number, body: () => void): void {
    this.op(op.block, noResult).get(local, bound).op(op.i32GeU).op(op.brIf, 0).op(op.loop, noResult);
    body();
    this.get(local, bound).op(op.i32LtU).op(op.brIf, 0).op(op.end).op(op.end);
  }

  body(): number[] {
    const locals = this.#locals.flatMap((type) => [1, type]);
    return counted([...unsigned(this.#locals.length), ...locals, ...this.#code, op.end]);
  }
}

/** "\0asm", version 1. */
const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** A module that imports `env.memory` and exports these functions. */
export function assemble(
  functions: { readonly [name: string]: FunctionWriter },
  sharedMemory: boolean,
): Uint8Array {
  const all = Object.entries(functions);
  // A shared memory has to be declared with a maximum; 65,536 pages, the most there are, fit any.
  const limits = sharedMemory ? [3, 0, ...unsigned(65_536)] : [0, 0];
  const types = all.map(([, { parameters, results }]) => [0x60, ...counted(parameters), ...counted(results)]);
  const imports = [[...text("env"), ...text("memory"), 2, ...limits]];
  const typeOfEach = all.map((_, index) => unsigned(index));
  const exports = all.map(([name], index) => [...text(name), 0, ...unsigned(index)]);
  const bodies = all.map(([, writer]) => writer.body());
  return Uint8Array.of(
    ...magic,
    ...section(1, types),
    ...section(2, imports),
    ...section(3, typeOfEach),
    ...section(7, exports),
    ...section(10, bodies),
  );
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  return [id, ...counted([...unsigned(items.length), ...items.flat()])];
}

/** Bytes after their number: a vector of one-byte items, a section or a function body. */
function counted(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

/** ASCII only. */
function text(value: string): number[] {
  return counted(Array.from(value, (character) => character.charCodeAt(0)));
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}
