import { type ElementNode, operandsOf, type Program } from "@mm/optim-core/backend";
import { assemble, f32, f64, FunctionWriter, i32, type Opcode, v128 } from "./assembler.ts";

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

function emitPass({ nodes, varying, vectors, uniforms, stores, measures }: Pass): FunctionWriter {
  const code = new FunctionWriter(
    [...Array<number>(vectors).fill(i32), i32, ...Array<number>(uniforms).fill(f32)],
    measures.map(() => f64),
  );
  // Functions take their arguments as the first locals; an address is that of the next element.
  const length = vectors;
  const firstUniform = vectors + 1;
  const needed = neededNodes(nodes, [...stores, ...measures]);
  const addresses = new Set(stores.map(({ vector }) => vector));
  for (const index of needed) {
    const vector = vectorOf(nodes[index]);
    if (vector !== undefined) addresses.add(vector);
  }
  const [lead] = addresses;
  if (lead === undefined) return code;

  const values = new Map(needed.map((index) => [index, code.local(v128)]));
  const valueOf = (index: number): number => values.get(index) as number;
  const partials = measures.map(() => [code.local(v128), code.local(v128)] as const);
  const [end, limit] = [code.local(i32), code.local(i32)];
  const [scratch, lane] = [code.local(v128), code.local(v128)];

  const operation = (node: ElementNode, load: Opcode, offset: number): FunctionWriter => {
    switch (node.op) {
      case "param":
      case "grad":
      case "slot":
        return code.get(vectorOf(node) as number).access(load, offset);
      case "uniform":
        return code.get(firstUniform + node.uniform).op("f32x4.splat");
      case "const":
        return code.splat(node.value);
      case "select":
        return code.get(valueOf(node.a), valueOf(node.b), valueOf(node.condition)).op("v128.bitselect");
      case "sign":
        return emitSign(code, valueOf(node.a));
      case "min":
      case "max":
        // pmin(x, s) is s < x ? s : x: it keeps the NaN of x, at a third of the cost of min, which looks for NaN in both.
        return code
          .get(valueOf(node.a), valueOf(node.b))
          .op(varying[node.b] === false ? `f32x4.p${node.op}` : `f32x4.${node.op}`);
      default:
        return code.get(...operandsOf(node).map(valueOf)).op(`f32x4.${node.op}`);
    }
  };
  const evaluate = (index: number, load: Opcode, offset: number): void => {
    operation(nodes[index] as ElementNode, load, offset).set(valueOf(index));
  };
  const evaluateVarying = (load: Opcode, offset: number): void => {
    for (const index of needed) if (varying[index] === true) evaluate(index, load, offset);
  };
  /** Repeats `body` while a turn fits below `bound`, a whole number of turns away. */
  const whileBelow = (bound: number, bytesPerTurn: number, body: () => void): void => {
    code.op("block void").get(lead, bound).op("i32.ge_u").op("br_if", 0).op("loop void");
    body();
    for (const address of addresses) code.get(address).int(bytesPerTurn).op("i32.add").set(address);
    code.get(lead, bound).op("i32.lt_u").op("br_if", 0).op("end").op("end");
  };
  const whileGroups = (vectorsPerGroup: number): void => {
    const bytes = 16 * vectorsPerGroup;
    code
      .get(end, end, lead)
      .op("i32.sub")
      .int(bytes - 1)
      .op("i32.and")
      .op("i32.sub")
      .set(limit);
    whileBelow(limit, bytes, () => {
      for (let offset = 0; offset < bytes; offset += 16) {
        evaluateVarying("v128.load", offset);
        for (const { node, vector } of stores) code.get(vector, valueOf(node)).access("v128.store", offset);
        for (const [index, { node, what }] of measures.entries()) {
          emitMeasure(code, what, valueOf(node), partials[index] as Partials, scratch);
        }
      }
    });
  };

  for (const index of needed) if (varying[index] === false) evaluate(index, "v128.load", 0);
  code.get(lead, length).int(2).op("i32.shl").op("i32.add").set(end);
  const unrolled = vectorsPerTurn(needed.length);
  if (unrolled > 1) whileGroups(unrolled);
  whileGroups(1);

  // The last elements, one at a time: it is in all lanes, and is measured in the lane where a whole vector would have it.
  if (measures.length > 0)
    code.op("v128.const", ...Array<number>(4).fill(0xff), ...Array<number>(12).fill(0)).set(lane);
  whileBelow(end, 4, () => {
    evaluateVarying("v128.load32_splat", 0);
    for (const { node, vector } of stores) code.get(vector, valueOf(node)).access("v128.store32_lane", 0, 0);
    for (const [index, { node, what }] of measures.entries()) {
      code.get(valueOf(node), lane).op("v128.and").set(valueOf(node));
      emitMeasure(code, what, valueOf(node), partials[index] as Partials, scratch);
    }
    if (measures.length > 0)
      code
        .get(lane, lane)
        .op("i8x16.shuffle", ...lanes(3, 0, 1, 2))
        .set(lane);
  });
  for (const [index, { what }] of measures.entries()) emitResult(code, what, partials[index] as Partials);
  return code;
}

/** `squares` and `sizes`: partials 0 and 1, and 2 and 3, of two float64 each. `largest`: the first alone, as bits. */
type Partials = readonly [first: number, second: number];

function emitMeasure(
  code: FunctionWriter,
  what: Measure,
  x: number,
  [first, second]: Partials,
  scratch: number,
): void {
  if (what === "largest") {
    // Of values without a sign the greater has the greater bits, and NaN the greatest.
    code.get(first, x).op("f32x4.abs").op("i32x4.max_s").set(first);
    return;
  }
  const addTo = (partial: number): void => {
    code.op("f64x2.promote_low_f32x4").set(scratch).get(partial);
    if (what === "squares") code.get(scratch, scratch).op("f64x2.mul");
    else code.get(scratch).op("f64x2.abs");
    code.op("f64x2.add").set(partial);
  };
  addTo((code.get(x), first));
  addTo((code.get(x, x).op("i8x16.shuffle", ...lanes(2, 3, 2, 3)), second));
}

/** (0 + 1) + (2 + 3), or the largest of four. */
function emitResult(code: FunctionWriter, what: Measure, [first, second]: Partials): void {
  if (what === "largest") {
    for (const order of [lanes(2, 3, 0, 1), lanes(1, 0, 3, 2)]) {
      code
        .get(first, first, first)
        .op("i8x16.shuffle", ...order)
        .op("i32x4.max_s")
        .set(first);
    }
    code.get(first).op("i32x4.extract_lane", 0).op("f32.reinterpret_i32").op("f64.promote_f32");
    return;
  }
  for (const partial of [first, second]) {
    code.get(partial).op("f64x2.extract_lane", 0).get(partial).op("f64x2.extract_lane", 1).op("f64.add");
  }
  code.op("f64.add");
}

/** ±1 by the sign bit where |x| > −0, else x − (−0): 0 for both zeros, NaN for NaN. */
function emitSign(code: FunctionWriter, x: number): FunctionWriter {
  code.get(x).splat(-0).op("v128.and").splat(1).op("v128.or");
  code.get(x).splat(-0).op("f32x4.sub");
  return code.get(x).op("f32x4.abs").splat(-0).op("f32x4.gt").op("v128.bitselect");
}

function vectorOf(node: ElementNode | undefined): number | undefined {
  if (node?.op === "param") return 0;
  if (node?.op === "grad") return 1;
  return node?.op === "slot" ? 2 + node.slot : undefined;
}

/** What the roots depend on, in order of evaluation. */
function neededNodes(nodes: readonly ElementNode[], roots: readonly { readonly node: number }[]): number[] {
  const needed = new Set(roots.map(({ node }) => node));
  for (let index = nodes.length - 1; index >= 0; index -= 1) {
    if (needed.has(index)) for (const operand of operandsOf(nodes[index] as ElementNode)) needed.add(operand);
  }
  return [...needed].sort((a, b) => a - b);
}

/** The immediate bytes of a shuffle that takes these lanes of float32: 0 to 3 of the first operand, 4 to 7 of the second. */
function lanes(...order: readonly number[]): number[] {
  return order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte));
}
