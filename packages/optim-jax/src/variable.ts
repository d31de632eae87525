import { numpy as np } from "@jax-js/jax";
import { refuse } from "@mm/optim-core/backend";
import type { JaxDevice } from "./arrays.ts";
import { ArrayCell, BufferCell, type Cell } from "./cell.ts";

const cells = /* @__PURE__ */ new WeakMap<object, Cell>();

const devices: readonly string[] = ["webgpu", "wasm", "cpu"] satisfies readonly JaxDevice[];

/**
 * A parameter: values that change while training goes on, which an array of jax-js cannot. Steps write into it; losses read it with the function
 * that they are given, and everything else with {@link read}.
 */
export class Variable {
  /**
   * Takes `array` over, as every function of jax-js does: pass `array.ref` to keep it. On webgpu it is copied, since steps write into the buffer of a
   * variable and arrays that others have keep their values.
   *
   * @param array of float32, on webgpu, wasm or cpu; the variable stays on that device
   * @throws OptimError `invalid-parameter`; `unsupported` for a jax-js whose buffers are not as expected
   */
  constructor(array: np.Array) {
    requireFloat32(array, "Variable");
    const device = array.device as JaxDevice;
    if (!devices.includes(device)) {
      refuse("invalid-parameter", "Variable", "an array on webgpu, wasm or cpu", device, {
        hint: "Move it there with devicePut(array, device)",
      });
    }
    cells.set(this, device === "webgpu" ? new BufferCell(array) : new ArrayCell(array, device));
  }

  get shape(): number[] {
    return [...cellOf(this).shape];
  }

  /** The device of jax-js that it is on: `"webgpu"`, `"wasm"` or `"cpu"`. */
  get device(): JaxDevice {
    return cellOf(this).device;
  }

  /**
   * The values as they are now. Neither the array nor what is computed from it, early or late, sees a later step. It is the caller's, to be consumed or
   * disposed. Does not wait. On webgpu a copy on the device, which all reads until the next step share; elsewhere no copy.
   *
   * @throws OptimError `disposed`
   */
  read(): np.Array {
    return this.#live("read").read();
  }

  /**
   * Puts other values into it, and consumes `array`.
   *
   * @param array of float32, of the same shape and on the same device
   * @throws OptimError `disposed`, `invalid-parameter`
   */
  assign(array: np.Array): void {
    const cell = this.#live("assign");
    requireFloat32(array, "Variable.assign");
    const { shape, device } = array;
    if (`${device}[${shape.join()}]` !== `${cell.device}[${cell.shape.join()}]`) {
      refuse(
        "invalid-parameter",
        "Variable.assign",
        `an array of shape [${cell.shape.join(", ")}] on ${cell.device}`,
        `[${shape.join(", ")}] on ${device}`,
      );
    }
    cell.assign(array);
  }

  /** Frees it. An optimizer that has it refuses its next step. A second call does nothing. */
  dispose(): void {
    const cell = cellOf(this);
    if (!cell.disposed) cell.dispose();
  }

  #live(call: string): Cell {
    const cell = cellOf(this);
    if (cell.disposed) {
      refuse("disposed", `Variable.${call}`, "a variable that was not disposed", "one that was");
    }
    return cell;
  }
}

/** The content of a variable of this copy of the package. */
export function cellOf(variable: Variable): Cell {
  return cells.get(variable) as Cell;
}

export function isVariable(value: unknown): value is Variable {
  return typeof value === "object" && value !== null && cells.has(value);
}

function requireFloat32(array: unknown, where: string): void {
  if (array instanceof np.Array && array.refCount > 0 && array.dtype === np.float32) return;
  const received =
    array instanceof np.Array ? (array.refCount > 0 ? array.dtype : "one that was freed") : array;
  refuse("invalid-parameter", where, "an array of jax-js, of float32, that was not freed", received);
}
