import type { ElementPass, MatrixRoutine, Program } from "@mm/optim-core/backend";
import { isPacked, makingOf } from "@mm/optim-core/backend";
import {
  asVector,
  elementBindings,
  elementsFunctions,
  matricesOf,
  type ParameterAccess,
  printElements,
  storeParameter,
  storingLoop,
  tileStart,
} from "./elements.ts";
import { elementFunctions } from "./elementwise.ts";
import { halfFunctions } from "./half.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/** The update of all elements. Every program has one. */
function updateOf({ passes }: Program): Extract<ElementPass, { readonly kind: "update" }> {
  return passes.find((pass) => pass.kind === "update" && pass.axes === 3) as Extract<
    ElementPass,
    { readonly kind: "update" }
  >;
}

/**
 * One step of a program, a workgroup a tile. Where there are more tiles than a dimension has workgroups, dispatch two dimensions.
 *
 * Bindings: parameter, gradient, each slot (and the master weights), the matrices that are read, table, range.
 */
export function updateKernel(program: Program, access: ParameterAccess): KernelSource {
  const { outputs, slots } = program;
  const pass = updateOf(program);
  // A value that stays as it is is not among the stores.
  const stores = pass.stores
    .filter(({ vector }) => vector >= 2)
    .map(({ node, vector }) => ({ node, slot: vector - 2 }));
  if (access === "packed") stores.push({ node: outputs.param, slot: slots.length });
  const wanted = [outputs.param, ...stores.map(({ node }) => node)];
  const { scalars, vectors } = printElements(program, access, wanted);
  const stored = (slot: number, value: string): string =>
    isPacked(program, slot) ? `toBfloat16(${value})` : value;
  const turn = (masked: boolean): string => {
    const kept = (value: string): string => (masked ? `select(vec4f(), ${value}, own)` : value);
    return wgsl`
      ${vectors}
      ${stores.map(({ node, slot }) => `slot${slot}[at] = ${stored(slot, kept(asVector(program, node)))};`).join("\n")}
      let next = ${asVector(program, outputs.param)};
      ${storeParameter[access](kept("next"), masked)}
    `;
  };
  return kernel(
    `update ${program.label} ${access}`,
    elementBindings(program, access, { written: "storage", read: matricesOf(program, pass) }),
    [
      elementFunctions(),
      ...(access === "packed" ? [halfFunctions()] : []),
      ...elementsFunctions(program, access, "tile"),
    ],
    wgsl`
      ${tileStart(program, scalars)}
      ${storingLoop(program, wanted, turn)}
    `,
  );
}

/**
 * Makes the operand of a matrix routine, a workgroup a tile, as `updateKernel`.
 *
 * Bindings: as those of `updateKernel`, with the matrix that is made before table and range; all others are read-only.
 */
export function makingKernel(program: Program, matrix: number, access: ParameterAccess): KernelSource {
  const { of } = program.matrices[matrix] as MatrixRoutine;
  const { scalars, vectors } = printElements(program, access, [of]);
  const turn = (masked: boolean): string => wgsl`
    ${vectors}
    made[at] = ${masked ? `select(vec4f(), ${asVector(program, of)}, own)` : asVector(program, of)};
  `;
  return kernel(
    `operand ${matrix} ${program.label} ${access}`,
    elementBindings(program, access, {
      written: "read-only-storage",
      read: matricesOf(program, makingOf(program, matrix)),
      makes: true,
    }),
    [elementFunctions(), ...elementsFunctions(program, access, "tile")],
    wgsl`
      ${tileStart(program, scalars)}
      ${storingLoop(program, [of], turn)}
    `,
  );
}
