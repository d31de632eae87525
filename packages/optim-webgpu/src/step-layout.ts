import { type HyperparameterGroup, memo, type Program } from "@mm/optim-core/backend";
import { batched } from "./batches.ts";
import {
  checkWorkgroups,
  codeWords,
  evaluationsOf,
  hasScratch,
  hasSums,
  headerWords,
  partialsPerWorkgroup,
  recordWords,
  registersOf,
  scratchElements,
  staticWords,
} from "./kernel/index.ts";
import { layOutProducts, type ProductLayout } from "./product-layout.ts";
import { type FindRoom, type Member, membersOf, type WebgpuStepItem } from "./step-members.ts";
import type { ParameterPort } from "./port.ts";
import { bytesPerElement } from "./storage.ts";
import {
  layOutStages,
  layOutTotals,
  type Stages,
  type TotalsLayout,
  type TotalsPlace,
} from "./total-layout.ts";
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
  /** Elements that reductions per row and column take, and by record where its own begin. */
  readonly scratch: number;
  readonly scratchStarts: readonly number[];
  /** By program, when each of its passes before the update runs. */
  readonly stages: Stages;
  /** Sums over the tensors of rules, and by program where it finds them. */
  readonly totals: readonly TotalsLayout[];
  readonly places: ReadonlyMap<Program, TotalsPlace>;
  /** The products of matrix routines: those that run at once. */
  readonly products: readonly ProductLayout[];
  /** By dispatch of `update` and of the passes before it: its records, and their tiles. */
  readonly updates: readonly { readonly indices: readonly number[]; readonly run: TileRun }[];
  /** By dispatch of `check`: the chunk of accumulators that it measures. Its run's number is that of its first partial. */
  readonly checks: readonly { readonly buffer: GPUBuffer; readonly groups: number; readonly run: TileRun }[];
  /** Partials that a check writes. */
  readonly partialCount: number;
  /** Of the programs with most of them. */
  readonly registers: number;
  readonly reductions: number;
  /** Whether any of them has a `sum` or a `dot` of a whole tensor. */
  readonly sums: boolean;
  /** How many passes come before the last evaluation of scalars. */
  readonly evaluations: number;
}

/**
 * @param most bytes of one binding
 * @param roomFor asked for programs with matrices only
 */
export function layOutStep<P>(
  port: Pick<ParameterPort<P>, "moves" | "resolve">,
  items: readonly WebgpuStepItem<P>[],
  most: number,
  roomFor: FindRoom<P> = () => [],
): StepLayout<P> {
  const lists = batched(membersOf(port, items, most, roomFor), (member) => sharedBy(port, member));
  const members = lists.flat();
  const programs = [...new Set(members.map(({ program }) => program))];
  const { codes, statics, words } = layOutPrograms(programs, members);
  const stages = layOutStages(members);
  const { products, words: jobs } = layOutProducts(members, most, headerWords + words, stages);
  const { totals, places, words: sums } = layOutTotals(members, stages, headerWords + words + jobs);
  const table = layOutTable(
    words + jobs + sums,
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
    products,
    stages,
    totals,
    places,
    ...layOutScratch(members, table.runs),
    updates: lists.map((list) => {
      const indices = indicesOf(list);
      return { indices, run: runOf(indices) };
    }),
    checks,
    partialCount,
    registers: Math.max(...programs.map(registersOf)),
    reductions: Math.max(...programs.map(({ reductions }) => reductions.length)),
    sums: programs.some(hasSums),
    evaluations: Math.max(...programs.map((program) => evaluationsOf(program, stages.get(program)))),
  };
}

/** The things that two parameters of one dispatch have in common. */
function sharedBy<P>(
  port: Pick<ParameterPort<P>, "moves">,
  { accumulator, parameter, range, window, program, access, slots, matrices }: Member<P>,
): readonly unknown[] {
  return [
    accumulator.buffer,
    ...(port.moves ? [parameter] : [range.buffer, window]),
    program,
    access,
    ...slots.map(({ buffer }) => buffer),
    ...matrices.flat().map(({ buffer }) => buffer),
  ];
}

/**
 * Code stands once for each program, statics for each program of a group, and of a shape where it asks for that; both between the header and the
 * records.
 */
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
  const ofGroups = new Map<HyperparameterGroup, Map<Program, Map<string, number>>>();
  const statics = members.map(({ parameter, program }) => {
    const ofGroup = memo(ofGroups, parameter.group, () => new Map<Program, Map<string, number>>());
    const ofProgram = memo(ofGroup, program, () => new Map<string, number>());
    return memo(ofProgram, shapeFor(program, parameter), () => take(staticWords(program)));
  });
  return { codes, statics, words: end - headerWords };
}

/** The part of a parameter's shape that the scalars of a program depend on: the same text for the same numbers. */
export function shapeFor<P>({ scalars }: Program, { view }: Member<P>["parameter"]): string {
  const asks = scalars.some(({ op }) => op === "size" || op === "rows" || op === "cols");
  return asks ? `${view.rows} ${view.cols}` : "";
}

function layOutScratch<P>(
  members: readonly Member<P>[],
  runs: readonly TileRun[],
): Pick<StepLayout<P>, "scratch" | "scratchStarts"> {
  let scratch = 0;
  const scratchStarts = members.map(({ program, parameter }, index) => {
    const start = scratch;
    if (hasScratch(program))
      scratch += scratchElements(program, parameter.view, (runs[index] as TileRun).count);
    return start;
  });
  return { scratch, scratchStarts };
}
