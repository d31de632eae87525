import type { ElementPass, Program, TensorReduction } from "@mm/optim-core/backend";
import { columnGroupsFunction, columnsAtOnce, groupsAt, reductionsAlong, resultAt } from "./along.ts";
import {
  asVector,
  elementBindings,
  elementsFunctions,
  matricesOf,
  operandsOfReductions,
  type ParameterAccess,
  printElements,
  tileStart,
  vectorLoop,
} from "./elements.ts";
import { elementFunctions } from "./elementwise.ts";
import type { ReducePass } from "./reduce-pass.ts";
import { reductionFunctions } from "./reduce.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/** The reductions of a pass that give one number for each row, or each column. */
export function perAxis({ reductions }: Program, pass: ReducePass, per: "row" | "column"): readonly number[] {
  return pass.reductions.filter((index) => reductions[index]?.per === per);
}

/** How four elements are added to what was found of those before. */
function addTo(program: Program, index: number): string {
  const { kind, a, b } = program.reductions[index] as TensorReduction;
  const own = (node: number): string => `select(vec4f(), ${asVector(program, node)}, own)`;
  if (kind === "largest") return `found${index} = max(found${index}, sizeBits(${own(a)}));`;
  return `found${index} += ${kind === "sum" ? own(a) : `${own(a)} * ${own(b)}`};`;
}

const isLargest = ({ reductions }: Program, index: number): boolean => reductions[index]?.kind === "largest";
const nothing = (program: Program, index: number): string =>
  `var found${index} = ${isLargest(program, index) ? "vec4u()" : "vec4f()"};`;

/** The parts of a kernel over rows and columns, which loads four elements of a row from any place. */
function printed(program: Program, access: ParameterAccess, numbers: readonly number[]) {
  const wanted = operandsOfReductions(program, numbers);
  return printElements(program, access, wanted, "anywhere");
}

/**
 * The reductions of a pass per row: a workgroup a row, and the next one. Dispatch a workgroup a tile.
 *
 * Bindings: as those of `updateKernel`, all read-only but `scratch`.
 */
export function rowsKernel(program: Program, pass: ReducePass, access: ParameterAccess): KernelSource {
  const numbers = perAxis(program, pass, "row");
  const { scalars, vectors } = printed(program, access, numbers);
  const each = (print: (index: number, place: number) => string): string => numbers.map(print).join("\n");
  const ofThread = (index: number): string =>
    isLargest(program, index) ? `largestOf(found${index})` : `bitcast<u32>(sumOf(found${index}))`;
  return kernel(
    `reduce rows ${program.label} ${access}`,
    elementBindings(program, access, {
      written: "read-only-storage",
      read: matricesOf(program, pass),
      scratch: "storage",
    }),
    [
      reductionFunctions(),
      elementFunctions(),
      ...elementsFunctions(program, access, "anywhere", matricesOf(program, pass)),
      `var<workgroup> shares: array<u32, ${64 * numbers.length}>;`,
    ],
    wgsl`
      ${tileStart(program, scalars, "anywhere")}
      for (var row = turn; row < rows; row += turns) {
        ${each((index) => nothing(program, index))}
        for (var col = 4u * thread; col < cols; col += ${columnsAtOnce}u) {
          let rowOf = vec4u(row);
          let colOf = col + vec4u(0, 1, 2, 3);
          let own = colOf < vec4u(cols);
          let ordinal = row * cols + col;
          ${vectors}
          ${each((index) => addTo(program, index))}
        }
        ${each((index, place) => `shares[${64 * place}u + thread] = ${ofThread(index)};`)}
        workgroupBarrier();
        ${each(
          (index, place) => wgsl`
          if (thread == ${place}u) {
            ${isLargest(program, index) ? "var whole = 0u;" : "var whole = 0f;"}
            for (var i = 0u; i < 64u; i++) {
              let share = shares[${64 * place}u + i];
              ${isLargest(program, index) ? "whole = max(whole, share);" : "whole += bitcast<f32>(share);"}
            }
            scratch[${resultAt(program, index)} + row] = ${isLargest(program, index) ? "bitcast<f32>(whole)" : "whole"};
          }
        `,
        )}
        workgroupBarrier();
      }
    `,
  );
}

/**
 * The reductions of a pass per column, of each group of rows. Dispatch a workgroup a tile, and then `columnSumsKernel`.
 *
 * Bindings: as those of `rowsKernel`.
 */
export function columnsKernel(program: Program, pass: ReducePass, access: ParameterAccess): KernelSource {
  const numbers = perAxis(program, pass, "column");
  const { scalars, vectors } = printed(program, access, numbers);
  const each = (print: (index: number) => string): string => numbers.map(print).join("\n");
  return kernel(
    `reduce columns ${program.label} ${access}`,
    elementBindings(program, access, {
      written: "read-only-storage",
      read: matricesOf(program, pass),
      scratch: "storage",
    }),
    [
      elementFunctions(),
      ...elementsFunctions(program, access, "anywhere", matricesOf(program, pass)),
      columnGroupsFunction(),
    ],
    wgsl`
      ${tileStart(program, scalars, "anywhere")}
      let blocks = (cols + ${columnsAtOnce - 1}u) / ${columnsAtOnce}u;
      let parts = columnGroups(rows, cols, turns);
      for (var unit = turn; unit < blocks * parts; unit += turns) {
        let col = ${columnsAtOnce}u * (unit % blocks) + 4u * thread;
        if (col >= cols) { continue; }
        let part = unit / blocks;
        let colOf = col + vec4u(0, 1, 2, 3);
        let own = colOf < vec4u(cols);
        ${each((index) => nothing(program, index))}
        for (var row = part; row < rows; row += parts) {
          let rowOf = vec4u(row);
          let ordinal = row * cols + col;
          ${vectors}
          ${each((index) => addTo(program, index))}
        }
        for (var lane = 0u; lane < min(4u, cols - col); lane++) {
          ${each((index) => `scratch[${shareAt(program, index)} + col + lane] = ${isLargest(program, index) ? `bitcast<f32>(found${index}[lane])` : `found${index}[lane]`};`)}
        }
      }
    `,
  );
}

/** Where the shares of a group of rows begin. */
const shareAt = (program: Program, index: number): string =>
  `${groupsAt(program)} + (${reductionsAlong(program, "column").indexOf(index)}u * parts + part) * cols`;

/** Puts together what `columnsKernel` has found. Bindings: scratch, table, range. */
export function columnSumsKernel(program: Program, pass: ReducePass): KernelSource {
  const numbers = perAxis(program, pass, "column");
  return kernel(
    `reduce columns ${program.label}`,
    [
      ["scratch", "storage", "array<f32>"],
      ["table", "read-only-storage", "array<u32>"],
      ["range", "uniform", "vec4u"],
    ],
    [columnGroupsFunction()],
    wgsl`
      ${tileStart(program, "")}
      let parts = columnGroups(rows, cols, turns);
      for (var col = 64u * turn + thread; col < cols; col += 64u * turns) {
        ${numbers
          .map((index) => {
            const share = `scratch[${shareAt(program, index)} + col]`;
            return wgsl`
              var whole${index} = ${isLargest(program, index) ? "0u" : "0f"};
              for (var part = 0u; part < parts; part++) {
                ${isLargest(program, index) ? `whole${index} = max(whole${index}, bitcast<u32>(${share}));` : `whole${index} += ${share};`}
              }
              scratch[${resultAt(program, index)} + col] = ${isLargest(program, index) ? `bitcast<f32>(whole${index})` : `whole${index}`};
            `;
          })
          .join("\n")}
      }
    `,
  );
}

export type UpdatePass = Extract<ElementPass, { readonly kind: "update" }>;

/**
 * Writes slots per row or per column, after the update of the elements. Dispatch a workgroup a tile.
 *
 * Bindings: as those of `updateKernel`, parameter and slots written.
 */
export function alongUpdateKernel(program: Program, pass: UpdatePass, access: ParameterAccess): KernelSource {
  const { scalars, vectors } = printElements(
    program,
    access,
    pass.stores.map(({ node }) => node),
    "anywhere",
  );
  const of = pass.axes === 1 ? "rowOf" : "colOf";
  const stores = pass.stores.map(({ node, vector }) => {
    const slot = vector - 2;
    return wgsl`
      let next${slot} = ${asVector(program, node)};
      for (var lane = 0u; lane < 4u; lane++) {
        if (own[lane]) { slot${slot}[slot${slot}At + ${of}[lane]] = next${slot}[lane]; }
      }
    `;
  });
  return kernel(
    `update ${pass.axes === 1 ? "rows" : "columns"} ${program.label} ${access}`,
    elementBindings(program, access, { written: "storage", read: [], scratch: "read-only-storage" }),
    [elementFunctions(), ...elementsFunctions(program, access, "tile")],
    wgsl`
      ${tileStart(program, scalars)}
      ${vectorLoop(
        pass.axes,
        wgsl`
          ${vectors}
          ${stores.join("\n")}
        `,
      )}
    `,
  );
}
