import { type Extents, makingOf, type Pass, type Program, refuse } from "@mm/optim-core/backend";
import { hasScratch, matricesOf, perTensor } from "./kernel/index.ts";
import { largestBinding, listed } from "./limits.ts";
import { workBytes } from "./product-layout.ts";

/** Storage bindings of the update kernel beside the slots: parameter, gradient, table. */
const otherBindings = 3;

/** Storage bindings of a pass beside those and the slots: the partials of reductions, and matrices that it reads and makes. */
function bindingsOf(program: Program, pass: Pass): number {
  if (pass.kind === "matrix") return matricesOf(program, makingOf(program, pass.matrix)).length + 1;
  if (pass.kind === "total") return 0;
  const measures = pass.kind === "reduce" && perTensor(program, pass).length > 0;
  return matricesOf(program, pass).length + Number(measures);
}

/**
 * Refuses a program whose kernels bind more than the device does.
 *
 * @param masters whether it runs on parameters in float16, which have one more vector
 * @throws OptimError `unsupported`
 */
export function requireBindings(
  { limits: { maxStorageBuffersPerShaderStage } }: GPUDevice,
  who: string,
  program: Program,
  masters: boolean,
): void {
  const { label, slots } = program;
  const others =
    otherBindings +
    Number(masters) +
    Number(hasScratch(program)) +
    Math.max(...program.passes.map((pass) => bindingsOf(program, pass)));
  if (others + slots.length <= maxStorageBuffersPerShaderStage) return;
  refuse(
    "unsupported",
    `${who}: ${label}`,
    `at most ${maxStorageBuffersPerShaderStage - others} slots, since this device binds ` +
      `${maxStorageBuffersPerShaderStage} storage buffers at once (maxStorageBuffersPerShaderStage)`,
    slots.length,
    { hint: "Adapters offer more: give requestDevice() requiredLimits" },
  );
}

/**
 * Refuses a matrix whose products are more than a kernel can bind.
 *
 * @throws OptimError `unsupported`
 */
export function requireProducts(
  { limits }: GPUDevice,
  who: string,
  { label, matrices }: Program,
  { rows, cols }: Extents,
): void {
  const most = largestBinding(limits);
  const bytes = workBytes(rows, cols);
  if (matrices.length === 0 || bytes <= most) return;
  refuse(
    "unsupported",
    `${who}: ${label}`,
    `matrices whose shorter side is at most ${Math.floor(Math.sqrt(most / 8))}, since this device binds ${most} bytes at once (${listed(limits)})`,
    [rows, cols],
    { hint: "Adapters offer more: give requestDevice() requiredLimits. Or divide the parameter" },
  );
}

// prettier-ignore
/** The operations that kernels of this package know. */
export const knownOperations: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "add", "sub", "mul", "div", "neg", "sqrt", "abs", "sign", "min", "max", "select", "gt", "lt", "eq", "norm",
  "sum", "dot", "largest", "sum per row", "dot per row", "largest per row", "slot per row",
  "size", "nested norm", "orthogonalize", "total",
]);
