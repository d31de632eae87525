import { masterSlot, type Program, type StepItem } from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import { batched } from "./batches.ts";
import type { ParameterAccess } from "./kernel/index.ts";
import type { StepScalar } from "./loss-scaler.ts";
import type { ParameterPort, ParameterRange } from "./port.ts";
import { bytesPerElement, type Vector } from "./storage.ts";
import { bindingAlignment } from "./usage.ts";

export type WebgpuStepItem<P> = StepItem<P, Vector, StepScalar>;

/** A parameter with all that its update binds. */
export interface Member<P> {
  readonly parameter: WebgpuStepParameter<P>;
  readonly program: Program;
  readonly accumulator: Vector;
  /** The master weights are the last. */
  readonly slots: readonly Vector[];
  /** By matrix of the program. */
  readonly matrices: readonly MatrixRoom[];
  readonly range: ParameterRange;
  readonly access: ParameterAccess;
  /** Its binding, shared with others in the same buffer. In bytes. */
  readonly window: Window;
}

/** Two vectors between which Newton–Schulz steps go to and fro. The result is in the first. */
export type MatrixRoom = readonly [Vector, Vector];

/** Room for the matrices of a program on a parameter, always the same. */
export type FindRoom<P> = (item: WebgpuStepItem<P>) => readonly MatrixRoom[];

interface Window {
  readonly offset: number;
  size: number;
}

/**
 * Finds what each parameter is bound by: as many of one buffer as one binding reaches.
 *
 * @param most bytes of one binding
 */
export function membersOf<P>(
  port: Pick<ParameterPort<P>, "moves" | "resolve">,
  items: readonly WebgpuStepItem<P>[],
  most: number,
  roomFor: FindRoom<P>,
): readonly Member<P>[] {
  const found = items.map((item) => ({ item, range: port.resolve(item.parameter.value) }));
  const windows = new Map<(typeof found)[number], Window>();
  const sorted = [...found].sort((a, b) => a.range.offset - b.range.offset);
  for (const neighbours of batched(sorted, ({ range, item }) => [port.moves ? item : range.buffer])) {
    let window: Window | undefined;
    for (const each of neighbours) {
      const { offset } = each.range;
      const end = endOf(each.range);
      if (window === undefined || end - window.offset > most) {
        window = { offset: offset - (offset % bindingAlignment), size: 0 };
      }
      window.size = Math.max(window.size, Math.ceil((end - window.offset) / 4) * 4);
      windows.set(each, window);
    }
  }
  return found.map((each) => {
    const { item, range } = each;
    const { parameter, program } = item;
    return {
      parameter,
      program,
      accumulator: parameter.accumulator as Vector,
      slots: slotsOf(item),
      matrices: program.matrices.length > 0 ? roomFor(item) : [],
      range,
      access: accessOf(range),
      window: windows.get(each) as Window,
    };
  });
}

/** The byte behind its last whole vector, as far as the buffer has it: what is read beyond a parameter's end is thrown away. */
function endOf({ offset, length, dtype, buffer }: ParameterRange): number {
  const bytes = Math.ceil((bytesPerElement[dtype] * length) / 16) * 16;
  return Math.min(offset + Math.max(4, bytes), buffer.size);
}

function accessOf({ offset, length, dtype, padded }: ParameterRange): ParameterAccess {
  if (dtype === "float16") return "packed";
  return offset % 16 === 0 && (length % 4 === 0 || padded) ? "vec4" : "scalar";
}

/** Slots as they are bound. */
export function slotsOf<P>({ parameter, slots }: WebgpuStepItem<P>): readonly Vector[] {
  const master = parameter.slots.get(masterSlot);
  return master === undefined ? slots : [...slots, master];
}
