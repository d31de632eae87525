import { type ElementNode, neededNodes, operandsOf, type Program } from "@mm/optim-core/backend";
import { assemble, f32, f64, FunctionWriter, i32, v128 } from "./assembler.ts";
import * as op from "./opcodes.ts";

/** What a reduction adds up (in float64, element i into partial i mod 4) or looks for. */
type Measure = "squares" | "sizes" | "largest";

/** One pass over vectors of one length: the elementwise part of a program, and what becomes of its values. */
interface Pass {
  readonly nodes: readonly ElementNode[];
  readonly varying: readonly boolean[];
  /** Number of vectors: parameter, gradient and slots. */
  readonly vectors: number;
  readonly uniforms: number;
  /** Nodes that are written back, with the vector that takes them. */
  readonly stores: readonly { readonly node: number; readonly vector: number }[];
  /** Nodes that are measured; the function returns one float64 for each. */
  readonly measures: readonly { readonly node: number; readonly what: Measure }[];
}

/**
 * The module of a program. Its functions take the byte addresses of parameter, gradient and slots, the number of elements, and the
 * uniforms in order.
 *
 * - `update` writes parameter and slots.
 * - `norms`, if the program has any, returns the sum of squares of each.
 */
export function emitProgram(program: Program, sharedMemory: boolean): Uint8Array {
  const { nodes, varying, outputs } = program;
  const inputs = { nodes, varying, vectors: 2 + program.slots.length, uniforms: program.uniforms.length };
  const written = [
    { node: outputs.param, vector: 0 },
    ...outputs.slots.map((node, slot) => ({ node, vector: 2 + slot })),
  ];
  // What stays as it is need not be written.
  const stores = written.filter(({ node, vector }) => vectorOf(nodes[node]) !== vector);
  const measures = program.norms.map((node) => ({ node, what: "squares" as const }));
  return assemble(
    {
      update: emitPass({ ...inputs, stores, measures: [] }),
      ...(measures.length > 0 && { norms: emitPass({ ...inputs, stores: [], measures }) }),
    },
    sharedMemory,
  );
}

/**
 * The module that serves every program: `add` and `replace` accumulate (the addresses of accumulator and gradient, the number of
 * elements, the scale); `squares`, `sizes` and `largest` measure (an address, the number of elements).
 */
export function emitGeneral(sharedMemory: boolean): Uint8Array {
  const accumulate = {
    nodes: [
      { op: "param" },
      { op: "grad" },
      { op: "uniform", uniform: 0 },
      { op: "mul", a: 1, b: 2 },
      { op: "add", a: 0, b: 3 },
    ],
    varying: [true, true, false, true, true],
    vectors: 2,
    uniforms: 1,
    measures: [],
  } as const;
  const measure = (what: Measure): FunctionWriter =>
    emitPass({
      nodes: [{ op: "param" }],
      varying: [true],
      vectors: 1,
      uniforms: 0,
      stores: [],
      measures: [{ node: 0, what }],
    });
  return assemble(
    {
      add: emitPass({ ...accumulate, stores: [{ node: 4, vector: 0 }] }),
      replace: emitPass({ ...accumulate, stores: [{ node: 3, vector: 0 }] }),
      squares: measure("squares"),
      sizes: measure("sizes"),
      largest: measure("largest"),
    },
    sharedMemory,
  );
}

/** Turns of the main loop are unrolled; long bodies gain nothing by it and would be slower to compile. */
function vectorsPerTurn(nodes: number): number {
  if (nodes > 100) return 1;
  return nodes > 40 ? 2 : 4;
}

/** The operations that are one instruction on their operands. */
const arithmetic = {
  neg: op.f32x4Neg,
  sqrt: op.f32x4Sqrt,
  abs: op.f32x4Abs,
  add: op.f32x4Add,
  sub: op.f32x4Sub,
  mul: op.f32x4Mul,
  div: op.f32x4Div,
  gt: op.f32x4Gt,
  lt: op.f32x4Lt,
  eq: op.f32x4Eq,
};

/** With a scalar as the second operand, pmin is `s < x ? s : x`: it keeps the NaN of x, and costs a third. */
const extremes = { min: [op.f32x4Min, op.f32x4Pmin], max: [op.f32x4Max, op.f32x4Pmax] } as const;

function emitPass({ nodes, varying, vectors, uniforms, stores, measures }: Pass): FunctionWriter {
  const code = new FunctionWriter(
    [...Array<number>(vectors).fill(i32), i32, ...Array<number>(uniforms).fill(f32)],
    measures.map(() => f64),
  );
  // The parameters: addresses, which move on to the next element, then the length, then the uniforms.
  const length = vectors;
  const firstUniform = vectors + 1;
  const roots = [...stores, ...measures].map(({ node }) => node);
  const needed = neededNodes(nodes, roots);
  const touched = needed.map((index) => vectorOf(nodes[index])).concat(stores.map(({ vector }) => vector));
  const addresses = new Set(touched.filter((vector) => vector !== undefined));
  const [lead] = addresses;
  if (lead === undefined) return code;

  const locals = new Map(needed.map((index) => [index, code.local(v128)]));
  const local = (index: number): number => locals.get(index) as number;
  const [end, bound] = [code.local(i32), code.local(i32)];
  const [scratch, lane] = [code.local(v128), code.local(v128)];
  const gauges = measures.map(({ node, what }) => ({
    value: local(node),
    gauge: { what, first: code.local(v128), second: code.local(v128), scratch },
  }));

  const operation = (node: ElementNode, load: number, offset: number): FunctionWriter => {
    switch (node.op) {
      case "param":
      case "grad":
      case "slot":
        return code.get(vectorOf(node) as number).access(load, offset);
      case "uniform":
        return code.get(firstUniform + node.uniform).op(op.f32x4Splat);
      case "const":
        return code.splat(node.value);
      case "select":
        return code.get(local(node.a), local(node.b), local(node.condition)).op(op.v128Bitselect);
      case "sign":
        return emitSign(code, local(node.a));
      case "min":
      case "max":
        return code
          .get(local(node.a), local(node.b))
          .op(extremes[node.op][varying[node.b] === false ? 1 : 0]);
      default:
        return code.get(...operandsOf(node).map(local)).op(arithmetic[node.op]);
    }
  };
  const evaluate = (whichVary: boolean, load = op.v128Load, offset = 0): void => {
    for (const index of needed) {
      if (varying[index] === whichVary)
        operation(nodes[index] as ElementNode, load, offset).set(local(index));
    }
  };
  const advance = (bytes: number): void => {
    for (const address of addresses) code.get(address).int(bytes).op(op.i32Add).set(address);
  };
  /** As many turns as fit, of `count` vectors each. */
  const vectorLoop = (count: number): void => {
    const bytes = 16 * count;
    // bound = end − (end − lead) mod bytes
    code.get(end, end, lead).op(op.i32Sub);
    code.int(bytes - 1).op(op.i32And);
    code.op(op.i32Sub).set(bound);
    code.whileBelow(lead, bound, () => {
      for (let offset = 0; offset < bytes; offset += 16) {
        evaluate(true, op.v128Load, offset);
        for (const { node, vector } of stores) code.get(vector, local(node)).access(op.v128Store, offset);
        for (const { gauge, value } of gauges) emitMeasure(code, gauge, value);
      }
      advance(bytes);
    });
  };

  evaluate(false);
  code.get(lead, length).int(2).op(op.i32Shl).op(op.i32Add).set(end);
  const unrolled = vectorsPerTurn(needed.length);
  if (unrolled > 1) vectorLoop(unrolled);
  vectorLoop(1);

  // The last elements, one at a time: each is in all lanes, and is measured in the lane that it would have in a vector.
  if (gauges.length > 0) {
    code.op(op.v128Const, ...Array<number>(4).fill(0xff), ...Array<number>(12).fill(0)).set(lane);
  }
  code.whileBelow(lead, end, () => {
    evaluate(true, op.v128Load32Splat);
    for (const { node, vector } of stores) code.get(vector, local(node)).access(op.v128Store32Lane, 0, 0);
    for (const { gauge, value } of gauges) {
      code.get(value, lane).op(op.v128And).set(value);
      emitMeasure(code, gauge, value);
    }
    if (gauges.length > 0)
      code
        .get(lane, lane)
        .op(op.i8x16Shuffle, ...lanes(3, 0, 1, 2))
        .set(lane);
    advance(4);
  });
  for (const { gauge } of gauges) emitResult(code, gauge);
  return code;
}

/** The state of a measurement. Sums: two float64 each, partials 0 and 1, 2 and 3. Largest: `first` alone, float32 as bits. */
interface Gauge {
  readonly what: Measure;
  readonly first: number;
  readonly second: number;
  readonly scratch: number;
}

function emitMeasure(code: FunctionWriter, { what, first, second, scratch }: Gauge, x: number): void {
  if (what === "largest") {
    // Of values without a sign the greater has the greater bits, and NaN the greatest.
    code.get(first, x).op(op.f32x4Abs).op(op.i32x4MaxS).set(first);
    return;
  }
  const addLowHalf = (to: number): void => {
    code.op(op.f64x2PromoteLowF32x4).set(scratch).get(to);
    if (what === "squares") code.get(scratch, scratch).op(op.f64x2Mul);
    else code.get(scratch).op(op.f64x2Abs);
    code.op(op.f64x2Add).set(to);
  };
  code.get(x);
  addLowHalf(first);
  code.get(x, x).op(op.i8x16Shuffle, ...lanes(2, 3, 2, 3));
  addLowHalf(second);
}

/** (0 + 1) + (2 + 3), or the largest of four. */
function emitResult(code: FunctionWriter, { what, first, second }: Gauge): void {
  if (what === "largest") {
    for (const order of [lanes(2, 3, 0, 1), lanes(1, 0, 3, 2)]) {
      code
        .get(first, first, first)
        .op(op.i8x16Shuffle, ...order)
        .op(op.i32x4MaxS)
        .set(first);
    }
    code.get(first).op(op.i32x4ExtractLane, 0).op(op.f32ReinterpretI32).op(op.f64PromoteF32);
    return;
  }
  for (const partials of [first, second]) {
    code.get(partials).op(op.f64x2ExtractLane, 0).get(partials).op(op.f64x2ExtractLane, 1).op(op.f64Add);
  }
  code.op(op.f64Add);
}

/** ±1 by the sign bit where |x| > −0, else x − (−0): 0 for both zeros, NaN for NaN. */
function emitSign(code: FunctionWriter, x: number): FunctionWriter {
  code.get(x).splat(-0).op(op.v128And).splat(1).op(op.v128Or);
  code.get(x).splat(-0).op(op.f32x4Sub);
  return code.get(x).op(op.f32x4Abs).splat(-0).op(op.f32x4Gt).op(op.v128Bitselect);
}

function vectorOf(node: ElementNode | undefined): number | undefined {
  if (node?.op === "param") return 0;
  if (node?.op === "grad") return 1;
  return node?.op === "slot" ? 2 + node.slot : undefined;
}

/** The immediate bytes of a shuffle that takes these lanes of float32: 0 to 3 of the first operand, 4 to 7 of the second. */
function lanes(...order: readonly number[]): number[] {
  return order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
}
