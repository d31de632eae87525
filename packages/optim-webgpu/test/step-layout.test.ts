// The plan of a step as far as no device is needed for it: buffers are objects with a size.
import type { Program } from "@mm/optim-core/backend";
import { adam, lamb, sgd } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { programOf } from "../../../test-support/programs.ts";
import { codeWords, header, headerWords, recordWords, staticWords, tile } from "../src/kernel/index.ts";
import type { ParameterRange } from "../src/port.ts";
import { layOutStep, type StepLayout } from "../src/step-layout.ts";
import type { WebgpuStepItem } from "../src/step-members.ts";
import type { Vector } from "../src/storage.ts";

const [plain, moments, norms] = [programOf(sgd({ lr: 1 })), programOf(adam()), programOf(lamb())];
const most = 1 << 20;
const bufferOf = (size: number): GPUBuffer => ({ size }) as GPUBuffer;
const planes = [bufferOf(most), bufferOf(most), bufferOf(most)] as const;

interface Given {
  readonly range: Partial<ParameterRange> & Pick<ParameterRange, "buffer" | "length">;
  readonly program?: Program;
  /** First element in every plane. */
  readonly start?: number;
  readonly plane?: GPUBuffer;
  readonly group?: object;
}
const oneGroup = {};

function itemOf({ range, program = plain, start = 0, plane = planes[0], group = oneGroup }: Given) {
  const vectorIn = (buffer: GPUBuffer) => ({ buffer, place: { start } }) as Vector;
  const value: ParameterRange = { offset: 0, dtype: "float32", padded: false, ...range };
  const parameter = { value, group, accumulator: vectorIn(plane), slots: new Map() };
  return {
    parameter,
    program,
    slots: program.slots.map(() => vectorIn(planes[1])),
  } as unknown as WebgpuStepItem<ParameterRange>;
}

const layOut = (given: readonly Given[], moves = false, binding = most): StepLayout<ParameterRange> =>
  layOutStep({ moves, resolve: (range: ParameterRange) => range }, given.map(itemOf), binding);
const dispatches = ({ updates }: StepLayout<ParameterRange>) => updates.map(({ indices }) => indices);
const windows = ({ members }: StepLayout<ParameterRange>) => members.map(({ window }) => window);

describe("which parameters share a dispatch", () => {
  const shared = bufferOf(4096);
  const two = [
    { range: { buffer: shared, offset: 0, length: 8 } },
    { range: { buffer: shared, offset: 256, length: 8 }, start: 64 },
  ];

  test("those of one buffer and one program", () => {
    expect(dispatches(layOut(two))).toEqual([[0, 1]]);
    expect(dispatches(layOut([two[0]!, { ...two[1]!, program: moments }]))).toEqual([[0], [1]]);
    expect(dispatches(layOut([two[0]!, { range: { buffer: bufferOf(32), length: 8 } }]))).toEqual([[0], [1]]);
  });

  test("none where parameters move: each may be in another buffer at the next step", () => {
    expect(dispatches(layOut(two, true))).toEqual([[0], [1]]);
  });

  test("none whose accumulators are in different chunks, and those of a chunk follow each other", () => {
    const [a, b] = two as [Given, Given];
    const c = { range: { buffer: shared, offset: 512, length: 8 } };
    const layout = layOut([a, { ...b, plane: planes[2] }, c]);
    expect(dispatches(layout)).toEqual([[0, 1], [2]]);
    expect(layout.members.map(({ range }) => range.offset)).toEqual([0, 512, 256]);
  });

  test("not those that are read in different ways", () => {
    // 8 elements are two vectors of four; 7 are read one by one, since what follows them is not theirs.
    const layout = layOut([two[0]!, { range: { buffer: shared, offset: 256, length: 7 } }]);
    expect(layout.members.map(({ access }) => access)).toEqual(["vec4", "scalar"]);
    expect(dispatches(layout)).toEqual([[0], [1]]);
  });
});

test.each<readonly [string, Partial<ParameterRange> & { readonly length: number }, string]>([
  ["whole vectors", { length: 8 }, "vec4"],
  ["not whole vectors", { length: 7 }, "scalar"],
  ["not whole vectors, padded", { length: 7, padded: true }, "vec4"],
  ["beginning in a vector", { length: 8, offset: 4 }, "scalar"],
  ["float16", { length: 8, dtype: "float16" }, "packed"],
])("a parameter of %s", (_, range, access) => {
  expect(layOut([{ range: { buffer: bufferOf(64), ...range } }]).members[0]?.access).toBe(access);
});

describe("what parameters are bound by", () => {
  const buffer = bufferOf(4096);

  test("one window from where a binding may begin to the end of the last vector", () => {
    // From 260 back to 256; 1024 + 4 × 5 = 1044, rounded up to a vector: 1056. 1056 − 256 = 800.
    const layout = layOut([
      { range: { buffer, offset: 1024, length: 5 } },
      { range: { buffer, offset: 260, length: 5 } },
    ]);
    expect(windows(layout)).toEqual([
      { offset: 256, size: 800 },
      { offset: 256, size: 800 },
    ]);
    // 4 bytes, and (1024 − 256) bytes, from the window's start.
    expect(layout.members.map(({ range }, index) => [range.offset, paramStart(layout, index)])).toEqual([
      [1024, 192],
      [260, 1],
    ]);
  });

  test("another window where one binding does not reach so far", () => {
    const layout = layOut(
      [
        { range: { buffer, offset: 0, length: 64 } },
        { range: { buffer, offset: 256, length: 64 } },
        { range: { buffer, offset: 512, length: 64 } },
      ],
      false,
      512,
    );
    expect(windows(layout)).toEqual([
      { offset: 0, size: 512 },
      { offset: 0, size: 512 },
      { offset: 512, size: 256 },
    ]);
    expect(dispatches(layout)).toEqual([[0, 1], [2]]);
  });

  test("no further than the buffer goes, and never nothing", () => {
    expect(windows(layOut([{ range: { buffer: bufferOf(20), length: 5 } }]))).toEqual([
      { offset: 0, size: 20 },
    ]);
    expect(windows(layOut([{ range: { buffer, length: 0 } }]))).toEqual([{ offset: 0, size: 4 }]);
  });
});

/** Its first tile's start in the binding of the parameter, in elements. */
function paramStart({ table }: StepLayout<ParameterRange>, index: number): number | undefined {
  return table.words[table.tiles + 4 * table.runs[index]!.first + tile.paramStart];
}

describe("the table", () => {
  const buffer = bufferOf(1 << 20);
  const group = {};
  const layout = layOut([
    { range: { buffer, length: 4096 + 1 }, program: moments },
    { range: { buffer, offset: 32768, length: 10 }, program: moments, start: 8192 },
    { range: { buffer, offset: 65536, length: 10 }, program: moments, start: 8256, group },
    { range: { buffer, offset: 65792, length: 10 }, program: norms, start: 8320 },
  ]);

  test("has code once for a program, and statics once for a program of a group", () => {
    const [codes, statics] = [codeWords(moments), staticWords(moments)];
    expect([...layout.codes]).toEqual([
      [moments, headerWords],
      [norms, headerWords + codes],
    ]);
    const first = headerWords + codes + codeWords(norms);
    expect(layout.statics).toEqual([first, first, first + statics, first + 2 * statics]);
    expect(layout.table.records).toBe(first + 2 * statics + staticWords(norms));
  });

  test("has a record for each parameter, as long as the longest, then the tiles", () => {
    const { table } = layout;
    expect(table.stride).toBe(Math.max(recordWords(moments), recordWords(norms)));
    expect(table.tiles).toBe(table.records + 4 * table.stride);
    expect(table.words[header.recordCount]).toBe(4);
    // 4,097 elements are two tiles, of 4,096 and of 1.
    expect(table.runs.map(({ first, count }) => [first, count])).toEqual([
      [0, 2],
      [2, 1],
      [3, 1],
      [4, 1],
    ]);
    expect(table.tileCount).toBe(5);
    const tiles = Array.from({ length: 5 }, (_, index) => [
      ...table.words.subarray(table.tiles + 4 * index, table.tiles + 4 * index + 4),
    ]);
    const record = (index: number) => table.records + index * table.stride;
    expect(tiles).toEqual([
      [record(0), 0, 0, 4096],
      [record(0), 4096, 4096, 1],
      [record(1), 8192, 8192, 10],
      [record(2), 8256, 16384, 10],
      [record(3), 8320, 16448, 10],
    ]);
    expect(table.words.length).toBe(table.tiles + 4 * 5);
  });

  test("a check goes over the tiles of a chunk, with 64 partials for each of its workgroups", () => {
    expect(layout.checks).toEqual([{ buffer: planes[0], groups: 5, run: { first: 0, count: 5, number: 0 } }]);
    expect(layout.partialCount).toBe(5 * 64);
    // LAMB's two norms are what the table has room for.
    expect(layout.reductions).toBe(2);
    // A second chunk's partials follow; more than 128 tiles share 128 workgroups.
    const many = layOut([
      { range: { buffer, length: 200 * 1024 } },
      { range: { buffer: bufferOf(1 << 24), length: 4096 * 129 }, plane: planes[2] },
    ]);
    expect(many.checks.map(({ groups, run }) => [groups, run.number])).toEqual([
      [50, 0],
      [128, 50 * 64],
    ]);
  });
});
