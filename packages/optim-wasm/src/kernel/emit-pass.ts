import { type ElementNode, neededNodes, type Store } from "@mm/optim-core/backend";
import type { Axes, Per } from "@mm/optim-core/rule";
import { f32, f64, FunctionWriter, i32, v128 } from "./assembler.ts";
import { emitNarrow, emitWiden } from "./emit-bfloat16.ts";
import { emitOperation } from "./emit-operation.ts";
import {
  emitMeasure,
  emitResult,
  emitTerms,
  emitUpper,
  type Gauge,
  type Measured,
  newGauge,
} from "./gauges.ts";
import { lanes } from "./lanes.ts";
import * as op from "./opcodes.ts";

/** A reduction: of node `a`, or of nodes `a` and `b`. */
export interface Measure {
  readonly what: Measured;
  readonly a: number;
  readonly b: number;
  /** Per tensor the function returns it; else it goes into this vector. */
  readonly per: Per;
  readonly vector: number;
}

/** One pass over vectors: nodes, and what becomes of them. */
export interface PassSpec {
  readonly nodes: readonly ElementNode[];
  readonly axes: readonly Axes[];
  vectorOf(node: ElementNode): number | undefined;
  /** Whether a vector holds bfloat16. It differs element by element. */
  isPacked(vector: number): boolean;
  /** Number of vectors. */
  readonly vectors: number;
  readonly uniforms: number;
  /** Whether it goes row by row; otherwise all is one row. */
  readonly byRow: boolean;
  readonly stores: readonly Store[];
  readonly measures: readonly Measure[];
}

/** Turns of the main loop are unrolled; long bodies gain nothing by it and would be slower to compile. */
function vectorsPerTurn(nodes: number): number {
  if (nodes > 100) return 1;
  return nodes > 40 ? 2 : 4;
}

/** A sum for each column, in float64, in the room that the function is given. */
interface ColumnSum {
  readonly measure: Measure;
  readonly place: number;
  /** Local: the address that belongs to the current column. */
  readonly at: number;
}

/** The function of a pass: see `emitProgram` for what it takes and returns. */
export function emitPass(spec: PassSpec): FunctionWriter {
  const { nodes, axes, vectors, uniforms, byRow, stores, measures } = spec;
  const layout = byRow ? [i32, i32, i32] : [i32];
  const returned = measures.filter(({ per }) => per === "tensor");
  const code = new FunctionWriter(
    [...Array<number>(vectors).fill(i32), ...layout, ...Array<number>(uniforms).fill(f32)],
    returned.map(() => f64),
  );
  // The parameters: addresses, which move on to the next element; the length, or rows, columns and room for columns; the uniforms.
  const rows = vectors;
  const length = byRow ? vectors + 1 : vectors;
  const room = vectors + 2;
  const firstUniform = vectors + layout.length;

  const needed = neededNodes(nodes, [
    ...stores.map(({ node }) => node),
    ...measures.flatMap(({ a, b }) => [a, b]),
  ]);
  /** 0: the same for all elements, 1: for those of a row, 2: another for each. */
  const depthOf = (index: number): number => (axes[index] === 0 ? 0 : byRow && axes[index] === 1 ? 1 : 2);

  // Addresses that go through all elements, those that stay at their row, and those that begin anew with each row.
  const running = new Set<number>();
  const perRow = new Set<number>();
  const restarting = new Map<number, number>();
  for (const index of needed) {
    const vector = spec.vectorOf(nodes[index] as ElementNode);
    if (vector === undefined) continue;
    if (depthOf(index) === 1) perRow.add(vector);
    else if (byRow && axes[index] === 2) restarting.set(vector, restarting.get(vector) ?? code.local(i32));
    else running.add(vector);
  }
  for (const { vector } of stores) running.add(vector);
  const isWide = (vector: number): boolean => !spec.isPacked(vector);
  // Something has to count the elements.
  if (![...running].some(isWide) && (running.size > 0 || byRow || measures.length > 0)) running.add(0);
  const lead = [...running].find(isWide);
  if (lead === undefined) return code;

  const locals = new Map(needed.map((index) => [index, code.local(v128)]));
  const local = (index: number): number => locals.get(index) as number;
  const [end, bound, row] = [code.local(i32), code.local(i32), code.local(i32)];
  const [scratch, upperA, upperB, lane] = [
    code.local(v128),
    code.local(v128),
    code.local(v128),
    code.local(v128),
  ];
  const spare = [scratch, upperA, upperB] as const;
  const inColumns = measures.filter(({ per }) => per === "column");
  const columnSums = inColumns.map((measure, place): ColumnSum => ({ measure, place, at: code.local(i32) }));
  const gauges = measures
    .filter(({ per }) => per !== "column")
    .map((measure) => ({ measure, gauge: newGauge(code, measure.what) }));

  const load = (index: number, instruction: number, offset: number): FunctionWriter => {
    const node = nodes[index] as ElementNode;
    const vector = spec.vectorOf(node);
    if (vector !== undefined && spec.isPacked(vector))
      return emitWiden(code.get(vector), instruction === op.v128Load, offset / 2);
    if (vector !== undefined) return code.get(restarting.get(vector) ?? vector).access(instruction, offset);
    if (node.op === "uniform") return code.get(firstUniform + node.uniform).op(op.f32x4Splat);
    if (node.op === "const") return code.splat(node.value);
    return emitOperation(code, node as Parameters<typeof emitOperation>[1], local, (of) => axes[of] === 0);
  };
  const evaluate = (depth: number, instruction = op.v128Load, offset = 0): void => {
    for (const index of needed)
      if (depthOf(index) === depth) load(index, instruction, offset).set(local(index));
  };
  /** Stores four elements, or one. */
  const store = (all: boolean, offset: number): void => {
    for (const { node, vector } of stores) {
      code.get(vector);
      if (spec.isPacked(vector)) emitNarrow(code, local(node), all, offset / 2);
      else code.get(local(node)).access(all ? op.v128Store : op.v128Store32Lane, offset, ...(all ? [] : [0]));
    }
  };
  const advance = (elements: number): void => {
    for (const vector of running)
      code
        .get(vector)
        .int((spec.isPacked(vector) ? 2 : 4) * elements)
        .op(op.i32Add)
        .set(vector);
    for (const address of restarting.values())
      code
        .get(address)
        .int(4 * elements)
        .op(op.i32Add)
        .set(address);
    for (const { at } of columnSums)
      code
        .get(at)
        .int(8 * elements)
        .op(op.i32Add)
        .set(at);
  };
  const measureAll = (): void => {
    for (const { gauge, measure } of gauges)
      emitMeasure(code, gauge, local(measure.a), local(measure.b), spare);
  };
  /** As many turns as fit, of `count` vectors each. */
  const vectorLoop = (count: number): void => {
    const bytes = 16 * count;
    // bound = end − (end − lead) mod bytes
    code.get(end, end, lead).op(op.i32Sub);
    code.int(bytes - 1).op(op.i32And);
    code.op(op.i32Sub).set(bound);
    code.whileBelow(lead, bound, () => {
      for (let turn = 0; turn < count; turn += 1) {
        evaluate(2, op.v128Load, 16 * turn);
        store(true, 16 * turn);
        measureAll();
        for (const sum of columnSums) emitColumns(code, sum, local, 32 * turn, spare);
      }
      advance(4 * count);
    });
  };
  /** The last elements, one at a time: each is in all lanes, and is measured in the lane that it would have in a vector. */
  const lastElements = (): void => {
    if (gauges.length > 0) {
      code.op(op.v128Const, ...Array<number>(4).fill(0xff), ...Array<number>(12).fill(0)).set(lane);
    }
    code.whileBelow(lead, end, () => {
      evaluate(2, op.v128Load32Splat);
      store(false, 0);
      for (const sum of columnSums) emitColumn(code, sum, local, scratch);
      const measured = new Set(gauges.flatMap(({ measure: { a, b } }) => [a, b]));
      // A value that is the same for all elements must stay so: it is masked in another local.
      const masked = new Map(
        [...measured].map((node) => [node, depthOf(node) === 2 ? local(node) : code.local(v128)]),
      );
      for (const [node, into] of masked) code.get(local(node), lane).op(op.v128And).set(into);
      for (const { gauge, measure } of gauges)
        emitMeasure(code, gauge, masked.get(measure.a) as number, masked.get(measure.b) as number, spare);
      if (gauges.length > 0)
        code
          .get(lane, lane)
          .op(op.i8x16Shuffle, ...lanes(3, 0, 1, 2))
          .set(lane);
      advance(1);
    });
  };
  const oneRow = (): void => {
    code.get(lead, length).int(2).op(op.i32Shl).op(op.i32Add).set(end);
    const unrolled = vectorsPerTurn(needed.length);
    if (unrolled > 1) vectorLoop(unrolled);
    vectorLoop(1);
    lastElements();
  };
  const placeOf = ({ place, at }: ColumnSum): void => {
    code
      .get(length)
      .int(8 * place)
      .op(op.i32Mul)
      .get(room)
      .op(op.i32Add)
      .set(at);
  };
  const nextOf = (address: number, bytes: number): void => {
    code.get(address).int(bytes).op(op.i32Add).set(address);
  };

  evaluate(0);
  if (!byRow) oneRow();
  else {
    for (const sum of columnSums) emitZeros(code, sum, placeOf, length, end);
    code.whileBelow(row, rows, () => {
      evaluate(1, op.v128Load32Splat);
      for (const [vector, address] of restarting) code.get(vector).set(address);
      for (const sum of columnSums) placeOf(sum);
      oneRow();
      for (const { gauge, measure } of gauges)
        if (measure.per === "row") emitRow(code, gauge, measure.vector);
      for (const vector of perRow) nextOf(vector, 4);
      nextOf(row, 1);
    });
    for (const sum of columnSums) emitColumnResults(code, sum, placeOf, length, end);
  }
  for (const { gauge, measure } of gauges) if (measure.per === "tensor") emitResult(code, gauge);
  return code;
}

/** Stores what a row gave, and begins anew. */
function emitRow(code: FunctionWriter, gauge: Gauge, vector: number): void {
  code.get(vector);
  emitResult(code, gauge);
  code.op(op.f32DemoteF64).access(op.f32Store, 0);
  code.get(vector).int(4).op(op.i32Add).set(vector);
  code.splat(0).set(gauge.first).splat(0).set(gauge.second);
}

/** Adds four elements to the sums of their columns. */
function emitColumns(
  code: FunctionWriter,
  { measure: { what, a, b }, at }: ColumnSum,
  local: (node: number) => number,
  offset: number,
  [scratch, upperA, upperB]: readonly [number, number, number],
): void {
  const join = what === "largest" ? op.f64x2Max : op.f64x2Add;
  code.get(at, at).access(op.v128Load, offset);
  emitTerms(code, what, local(a), local(b), scratch);
  code.op(join).access(op.v128Store, offset);
  emitUpper(code, local(a), upperA);
  if (a !== b) emitUpper(code, local(b), upperB);
  code.get(at, at).access(op.v128Load, offset + 16);
  emitTerms(code, what, upperA, a === b ? upperA : upperB, scratch);
  code.op(join).access(op.v128Store, offset + 16);
}

/** Adds one element, which is in all lanes, to the sum of its column. */
function emitColumn(
  code: FunctionWriter,
  { measure: { what, a, b }, at }: ColumnSum,
  local: (node: number) => number,
  scratch: number,
): void {
  code.get(at, at).access(op.f64Load, 0);
  emitTerms(code, what, local(a), local(b), scratch);
  code
    .op(op.f64x2ExtractLane, 0)
    .op(what === "largest" ? op.f64Max : op.f64Add)
    .access(op.f64Store, 0);
}

type Places = (sum: ColumnSum) => void;

function emitZeros(code: FunctionWriter, sum: ColumnSum, place: Places, length: number, end: number): void {
  place(sum);
  code.get(sum.at, length).int(3).op(op.i32Shl).op(op.i32Add).set(end);
  code.whileBelow(sum.at, end, () => {
    code.get(sum.at).splat(0).op(op.f64x2ExtractLane, 0).access(op.f64Store, 0);
    code.get(sum.at).int(8).op(op.i32Add).set(sum.at);
  });
}

/** Rounds the sums of columns to float32. */
function emitColumnResults(
  code: FunctionWriter,
  sum: ColumnSum,
  place: Places,
  length: number,
  end: number,
): void {
  const { at, measure } = sum;
  place(sum);
  code.get(at, length).int(3).op(op.i32Shl).op(op.i32Add).set(end);
  code.whileBelow(at, end, () => {
    code.get(measure.vector, at).access(op.f64Load, 0).op(op.f32DemoteF64).access(op.f32Store, 0);
    code.get(measure.vector).int(4).op(op.i32Add).set(measure.vector);
    code.get(at).int(8).op(op.i32Add).set(at);
  });
}
