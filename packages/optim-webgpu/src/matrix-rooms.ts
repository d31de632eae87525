import { memo } from "@mm/optim-core/backend";
import type { MatrixRoom, WebgpuStepItem } from "./step-members.ts";
import type { Planes } from "./storage.ts";

/** The room for matrices of an optimizer's parameters: two vectors each, made once and kept. */
export class MatrixRooms<P> {
  readonly #planes: Planes;
  readonly #rooms = new Map<string, MatrixRoom[]>();

  constructor(planes: Planes) {
    this.#planes = planes;
  }

  readonly find = ({ parameter: { name }, program }: WebgpuStepItem<P>): readonly MatrixRoom[] => {
    const rooms = memo(this.#rooms, name, (): MatrixRoom[] => []);
    while (rooms.length < program.matrices.length) {
      rooms.push([this.#planes.allocate(name, 0), this.#planes.allocate(name, 0)]);
    }
    return rooms.slice(0, program.matrices.length);
  };
}
