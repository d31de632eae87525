import { header, record } from "./layout.ts";
import { codeBlock, opCodes, uniformCodes } from "./scalars.ts";
import { wgsl } from "./wgsl.ts";
import { wideRegisters } from "./wide-registers.ts";

/**
 * The interpreter of the code that `scalars.ts` writes, and what it reads with. Expects the bindings `table` and `state`, and
 * `pairFunctions`.
 *
 * @param registers as many as the program with most needs: see `registersOf`
 * @param norms likewise. 0: programs with norms do not run
 */
export function interpreter(registers: number, norms = 0): string {
  const room = 64 * Math.ceil(registers / 64) || 64;
  return wgsl`
    var<private> registers: array<vec2f, ${room}>;
    // Word of the table where sums over tensors are.
    var<private> totals: u32;

    fn float(word: u32) -> f32 { return bitcast<f32>(table[word]); }
    fn pairAt(word: u32) -> vec2f { return vec2f(float(word), float(word + 1u)); }

    fn compute(op: u32, place: u32, step: u32, block: u32, a: vec2f, b: vec2f, c: vec2f) -> vec2f {
      switch (op) {
        ${cases()}
        default: { return a; }
      }
    }

    ${norms > 0 ? wideRegisters(room, norms) : ""}

    // Leaves every value of a program in its register, and gives the word behind the instructions.
    fn execute(record: u32, step: u32) -> u32 {
      let code = table[record + ${record.code}u];
      let statics = table[record + ${record.statics}u];
      let block = table[record + ${record.state}u];
      totals = table[code + ${codeBlock.totals}u];
      let first = table[code + ${codeBlock.statics}u];
      for (var i = 0u; i < first; i++) { registers[i] = pairAt(statics + 2u * i); }
      var word = code + ${codeBlock.words}u;
      let last = first + table[code + ${codeBlock.instructions}u];
      for (var i = first; i < last; i++) {
        let op = table[word] & 0xffffu;
        let a = table[word] >> 16u;
        let b = table[word + 1u] & 0xffffu;
        let c = table[word + 1u] >> 16u;
        ${norms > 0 ? "computeWide(i, op, a, step, block, b, c);" : "registers[i] = compute(op, a, step, block, registers[a], registers[b], registers[c]);"}
        word += 2u;
      }
      ${norms > 0 ? "for (var i = first; i < last; i++) { registers[i] = atLevel(i, 0); }" : ""}
      return word;
    }

    ${writers()}
  `;
}

/** The use of the registers of a program that was executed. */
const writers = (): string => wgsl`
  // Writes the uniforms that stand at a word of the code, and gives the word behind them.
  fn writeUniforms(record: u32, at: u32, factor: f32) -> u32 {
    let count = table[table[record + ${record.code}u] + ${codeBlock.uniforms}u];
    for (var i = 0u; i < count; i++) {
      let source = table[at + i];
      var value = factor;
      if (source == ${uniformCodes.clipValue}u) {
        value = float(${header.clipValue}u);
      } else if (source != ${uniformCodes.gradFactor}u) {
        value = registers[source].x;
      }
      table[record + ${record.uniforms}u + i] = bitcast<u32>(value);
    }
    return at + count;
  }

  // Takes over the scalar slots that stand at a word of the code.
  fn writeSlots(record: u32, at: u32) {
    let block = table[record + ${record.state}u];
    let end = at + table[table[record + ${record.code}u] + ${codeBlock.scalarSlots}u];
    for (var word = at; word < end; word++) {
      let value = registers[table[word] & 0xffffu];
      let slot = block + (table[word] >> 16u);
      state[slot] = bitcast<u32>(value.x);
      state[slot + 1u] = bitcast<u32>(value.y);
    }
  }

  // Leaves in a record what it adds to sums over tensors, which stand behind the kinds of reductions in the code.
  fn writeTerms(record: u32) {
    let code = table[record + ${record.code}u];
    let count = table[code + ${codeBlock.terms}u];
    let sources = table[code + ${codeBlock.sources}u];
    let at = record + table[code + ${codeBlock.termsAt}u];
    for (var i = 0u; i < count; i++) {
      let value = registers[table[code + sources + i]];
      table[at + 2u * i] = bitcast<u32>(value.x);
      table[at + 2u * i + 1u] = bitcast<u32>(value.y);
    }
  }

  // Computes the uniforms of a record; and where it counts, its next step count and scalar slots.
  fn evaluate(record: u32, factor: f32, counts: bool) {
    let block = table[record + ${record.state}u];
    let step = state[block] + 1u;
    let slots = writeUniforms(record, execute(record, step), factor);
    writeTerms(record);
    if (!counts) { return; }
    state[block] = step;
    writeSlots(record, slots);
  }
`;

const results: { readonly [O in Exclude<keyof typeof opCodes, "norm">]: string } = {
  step: "exactSum(f32(step & 0xff000000u), f32(step & 0xffffffu))",
  scalarSlot: "vec2f(bitcast<f32>(state[block + place]), bitcast<f32>(state[block + place + 1u]))",
  add: "add(a, b)",
  sub: "add(a, -b)",
  mul: "mul(a, b)",
  div: "div(a, b)",
  sqrt: "root(a)",
  expm1: "expm1(a)",
  logGuess: "number(logGuess(a.x))",
  keep: "select(b, a, sizeOf(a.x) >= 0x7f800000u)",
  power: "power(a, b, c)",
  neg: "-a",
  abs: "select(a, -a, a.x < 0f)",
  sign: "signOf(a)",
  min: "select(a, b, isAbove(a, b) || isNan(b))",
  max: "select(a, b, isAbove(b, a) || isNan(b))",
  gt: "number(f32(isAbove(a, b)))",
  eq: "number(f32(a.x == b.x && a.y == b.y))",
  select: "select(b, a, c.x == 1f)",
  total: "pairAt(totals + 2u * place)",
};

const cases = (): string =>
  Object.entries(results)
    .map(([op, result]) => `case ${opCodes[op as keyof typeof results]}u: { return ${result}; } // ${op}`)
    .join("\n");
