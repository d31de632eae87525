// Not exported: for people who look at what runs. The modules that are compiled are read back, so the text is of the very bytes.
import type { Program } from "@mm/optim-core/backend";
import { emitProgram } from "./emit.ts";
import * as op from "./opcodes.ts";

/** The module of a program as WebAssembly text, with locals by number. */
export function programText(program: Program): string {
  return moduleText(emitProgram(program, false));
}

/** A module that the assembler wrote as WebAssembly text. */
function moduleText(bytes: Uint8Array): string {
  const reader = new Reader(bytes, 8);
  const sections = new Map<number, Reader>();
  while (!reader.isDone()) sections.set(reader.byte(), reader.part());
  const types = list(sections.get(1), (part) => {
    part.byte();
    return { params: list(part, valueType), results: list(part, valueType) };
  });
  const names = list(sections.get(7), (part) => [part.text(), part.byte() + part.unsigned()] as const);
  const bodies = list(sections.get(10), (part) => part.part());
  const functions = bodies.flatMap((body, index) => {
    const { params, results } = types[index] as (typeof types)[number];
    const name = names.find(([, of]) => of === index)?.[0] ?? "";
    const locals = list(body, (part) => (part.unsigned() === 1 ? valueType(part) : ""));
    return [
      `  (func $${name} (export "${name}")${declared("param", params)}${declared("result", results)}`,
      ...(locals.length > 0 ? [`   ${declared("local", locals)}`] : []),
      ...instructions(body),
      "  )",
    ];
  });
  return ["(module", '  (import "env" "memory" (memory 0))', ...functions, ")", ""].join("\n");
}

const declared = (what: string, types: readonly string[]): string =>
  types.length > 0 ? ` (${what} ${types.join(" ")})` : "";

/** `f32x4Add` is `f32x4.add`, `v128Load32Splat` is `v128.load32_splat`, `brIf` is `br_if`. */
function mnemonic(name: string): string {
  const [, type = "", rest = ""] = /^(local|[if]\d+x\d+|[if]\d+|v128|)(.+)$/.exec(name) ?? [];
  const words = rest.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return type === "" ? words : `${type}.${words.slice(1)}`;
}

function instructions(body: Reader): readonly string[] {
  const names = new Map(Object.entries(op).map(([name, code]) => [code as number, mnemonic(name)]));
  const lines: string[] = [];
  let depth = 2;
  while (!body.isDone()) {
    const first = body.byte();
    const code = first === 0xfd ? 0x100 + body.unsigned() : first;
    // The last one ends the function itself.
    if (code === op.end) depth -= 1;
    if (code === op.end && body.isDone()) break;
    lines.push(
      `${"  ".repeat(depth)}${names.get(code) ?? `0x${code.toString(16)}`}${immediates(code, body)}`,
    );
    if (code === op.block || code === op.loop) depth += 1;
  }
  return lines;
}

/** The bytes that an instruction takes, as text. */
function immediates(code: number, body: Reader): string {
  switch (code) {
    case op.block:
    case op.loop:
      body.byte();
      return "";
    case op.brIf:
    case op.localGet:
    case op.localSet:
      return ` ${body.unsigned()}`;
    case op.i32Const:
      return ` ${body.signed()}`;
    case op.v128Const:
      return ` f32x4 ${Array.from({ length: 4 }, () => lane(body)).join(" ")}`;
    case op.i8x16Shuffle:
      return ` ${Array.from({ length: 16 }, () => body.byte()).join(" ")}`;
    case op.i32x4ExtractLane:
    case op.f64x2ExtractLane:
      return ` ${body.byte()}`;
    case op.i32Load16U:
    case op.v128Load16x4U:
    case op.v128Load:
    case op.v128Load32Splat:
    case op.v128Store:
      return address(body);
    case op.v128Store16Lane:
    case op.v128Store64Lane:
    case op.v128Store32Lane:
      return `${address(body)} ${body.byte()}`;
    default:
      return "";
  }
}

function address(body: Reader): string {
  const align = 2 ** body.unsigned();
  const offset = body.unsigned();
  return `${offset > 0 ? ` offset=${offset}` : ""} align=${align}`;
}

function lane(body: Reader): string {
  const bits = Uint32Array.of(body.word());
  const [value = 0] = new Float32Array(bits.buffer);
  if (Number.isNaN(value)) return `nan:0x${((bits[0] as number) & 0x7fffff).toString(16)}`;
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Object.is(value, -0) ? "-0" : String(value);
}

function valueType(part: Reader): string {
  return { 0x7f: "i32", 0x7d: "f32", 0x7c: "f64", 0x7b: "v128" }[part.byte()] ?? "";
}

/** A vector of the binary format: a number, and as many items. */
function list<T>(part: Reader | undefined, item: (part: Reader) => T): T[] {
  return part === undefined ? [] : Array.from({ length: part.unsigned() }, () => item(part));
}

class Reader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    this.#at += 1;
    return this.#bytes[this.#at - 1] as number;
  }

  /** Four bytes, the least first. */
  word(): number {
    return (this.byte() | (this.byte() << 8) | (this.byte() << 16) | (this.byte() << 24)) >>> 0;
  }

  /** LEB128. */
  unsigned(): number {
    const byte = this.byte();
    return byte < 128 ? byte : (byte & 127) + 128 * this.unsigned();
  }

  signed(): number {
    const byte = this.byte();
    if (byte >= 128) return (byte & 127) + 128 * this.signed();
    return byte < 64 ? byte : byte - 128;
  }

  /** Bytes after their number. */
  part(): Reader {
    const length = this.unsigned();
    const part = new Reader(this.#bytes.subarray(this.#at, this.#at + length), 0);
    this.#at += length;
    return part;
  }

  /** ASCII only. */
  text(): string {
    return String.fromCharCode(...this.part().#bytes);
  }
}
