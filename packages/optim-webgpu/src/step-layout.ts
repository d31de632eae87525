import { type HyperparameterGroup, memo, type Program } from "@mm/optim-core/backend";
import { batched } from "./batches.ts";
import {
  checkWorkgroups,
  codeWords,
  headerWords,
  partialsPerWorkgroup,
  recordWords,
  registersOf,
  staticWords,
} from "./kernel/index.ts";
import { type Member, membersOf, type WebgpuStepItem } from "./step-members.ts";
import type { ParameterPort } from "./port.ts";
import { bytesPerElement } from "./storage.ts";
import { joined, layOutTable, type TableLayout, type TileRun } from "./table-layout.ts";

/** All of a step's plan that is known without a device: which parameters share a dispatch, in which order, and where in the table what stands. */
export interface StepLayout<P> {
  /** By record. Those of a dispatch follow each other. */
  readonly members: readonly Member<P>[];
  readonly table: TableLayout;
  /** Words of the table where programs have their code. */
  readonly codes: ReadonlyMap<Program, number>;
  /** By record: word of the table where its program and group have their statics. */
  readonly statics: readonly number[];
  /** By dispatch of `update` and `norms`: its records, and their tiles. */
  readonly updates: readonly { readonly indices: readonly number[]; readonly run: TileRun }[];
  /** By dispatch of `check`: the chunk of accumulators that it measures. Its run's number is that of its first partial. */
  readonly checks: readonly { readonly buffer: GPUBuffer; readonly groups: number; readonly run: TileRun }[];
  /** Partials that a check writes. */
  readonly partialCount: number;
  /** Of the programs with most of them. */
  readonly registers: number;
  readonly norms: number;
}

/** @param most bytes of one binding */
export function layOutStep<P>(
  port: Pick<ParameterPort<P>, "moves" | "resolve">,
  items: readonly WebgpuStepItem<P>[],
  most: number,
): StepLayout<P> {
  const lists = batched(membersOf(port, items, most), (member) => sharedBy(port, member));
  const members = lists.flat();
  const programs = [...new Set(members.map(({ program }) => program))];
  const { codes, statics, words } = layOutPrograms(programs, members);
  const table = layOutTable(
    words,
    Math.max(...programs.map(recordWords)),
    members.map(({ accumulator, range, window }) => ({
      planeStart: accumulator.place.start,
      paramStart: (range.offset - window.offset) / bytesPerElement[range.dtype],
      length: range.length,
    })),
  );
  const indexOf = new Map(members.map((member, index) => [member, index]));
  const indicesOf = (list: readonly Member<P>[]): readonly number[] =>
    list.map((member) => indexOf.get(member) as number);
  const runOf = (indices: readonly number[]): TileRun =>
    joined(indices.map((index) => table.runs[index] as TileRun));

  let partialCount = 0;
  // Records of one chunk follow each other, since accumulators are what lists are ordered by first.
  const checks = batched(members, ({ accumulator }) => [accumulator.buffer]).map((chunk) => {
    const run = { ...runOf(indicesOf(chunk)), number: partialCount };
    const groups = checkWorkgroups(run.count);
    partialCount += groups * partialsPerWorkgroup;
    return { buffer: (chunk[0] as Member<P>).accumulator.buffer, groups, run };
  });
  return {
    members,
    table,
    codes,
    statics,
    updates: lists.map((list) => {
      const indices = indicesOf(list);
      return { indices, run: runOf(indices) };
    }),
    checks,
    partialCount,
    registers: Math.max(...programs.map(registersOf)),
    norms: Math.max(...programs.map(({ reductions }) => reductions.length)),
  };
}

/** What two parameters of one dispatch have in common. */
function sharedBy<P>(
  port: Pick<ParameterPort<P>, "moves">,
  { accumulator, parameter, range, window, program, access, slots }: Member<P>,
): readonly unknown[] {
  return [
    accumulator.buffer,
    ...(port.moves ? [parameter] : [range.buffer, window]),
    program,
    access,
    ...slots.map(({ buffer }) => buffer),
  ];
}

/** Code stands once for each program, statics for each program of a group, both between the header and the records. */
function layOutPrograms<P>(
  programs: readonly Program[],
  members: readonly Member<P>[],
): {
  readonly codes: ReadonlyMap<Program, number>;
  readonly statics: readonly number[];
  readonly words: number;
} {
  let end = headerWords;
  const take = (words: number): number => {
    const at = end;
    end += words;
    return at;
  };
  const codes = new Map(programs.map((program) => [program, take(codeWords(program))]));
  const ofGroups = new Map<HyperparameterGroup, Map<Program, number>>();
  const statics = members.map(({ parameter, program }) => {
    const ofGroup = memo(ofGroups, parameter.group, () => new Map<Program, number>());
    return memo(ofGroup, program, () => take(staticWords(program)));
  });
  return { codes, statics, words: end - headerWords };
}
