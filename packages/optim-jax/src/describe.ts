import { type ParameterDescription, refuse } from "@mm/optim-core/backend";
import type { JaxDevice } from "./arrays.ts";
import type { Cell } from "./cell.ts";
import { cellOf, isVariable, type Variable } from "./variable.ts";

/** An engine's description of a variable. @throws OptimError `invalid-parameter` for anything but a live one on this device */
export function describeVariable(value: Variable, where: string, device: JaxDevice): ParameterDescription {
  if (!isVariable(value)) {
    return refuse("invalid-parameter", where, "a Variable of this copy of @mm/optim-jax", value, {
      hint: "Wrap an array: new Variable(array)",
    });
  }
  const cell = liveCell(value, where);
  if (cell.device !== device) {
    refuse("invalid-parameter", where, `a variable on ${device}, as those before it`, cell.device, {
      hint: "An optimizer runs on one device; a dict holds several optimizers",
    });
  }
  // x · w: dense kernels are [inputs, outputs].
  return { shape: cell.shape, identity: cell, outputs: "last" };
}

/** @throws OptimError `invalid-parameter` */
export function liveCell(variable: Variable, where: string): Cell {
  const cell = cellOf(variable);
  if (cell.disposed) refuse("invalid-parameter", where, "a variable that was not disposed", "one that was");
  return cell;
}
