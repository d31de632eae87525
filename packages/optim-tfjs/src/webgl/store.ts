import type { Program } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import type { TensorCell } from "../ops/tensor-cell.ts";
import { operand, type StepScalar } from "../scalar.ts";
import type { Item } from "./lanes.ts";
import type { Source, Target } from "./layout.ts";
import { placeOf, type Records, TensorRecords } from "./records.ts";
import type { Releases, Surface } from "./surface.ts";

/** A vector as the input of a draw, and what its elements are still to be multiplied by. */
export interface Part {
  readonly source: Source;
  readonly scale: number;
}

/** A scalar of a step's state, and where in the record a draw looks for it. */
export interface Placed {
  readonly row: number;
  readonly element: number;
  readonly scalar: StepScalar;
}

/**
 * Where draws keep float32 that outlives them: slots, accumulators, and the record of a step. In tensors of tfjs, or where those are half
 * floats in textures of our own.
 */
export interface Store<P extends Target = Target> {
  /** GLSL of it: `planeSampler`, `planeTexel`, `fetchPlane(sampler, texel)` and `toPlane(vec4)`. */
  readonly prologue: string;
  /** Whether an update writes a parameter twice: rounded into a tensor of tfjs, and as it is into a master. */
  readonly masters: boolean;
  /** A texture for a draw to write, laid out as a packed one of this shape. Its contents are not defined. */
  make(shape: readonly number[]): P;
  free(plane: P): void;
  /** Makes it the next value of a vector, which takes it. */
  put(cell: TensorCell, plane: P): void;
  /** A vector as an input. Runs programs, so call it before the first draw. */
  source(cell: TensorCell, releases: Releases): Source;
  part(cell: TensorCell, releases: Releases): Part;
  tensor(tensor: tf.Tensor, releases: Releases): Source;
  /** A parameter as an input. */
  parameter(item: Item, releases: Releases): Source;
  /** Vectors beside parameter and slots that an update writes: those that get what the parameter gets. */
  besides(item: Item): readonly TensorCell[];
  /** Told when a parameter has got what an update has drawn. */
  assigned(item: Item): void;
  /** Takes what a decision drew. */
  records(plane: P): Records;
  /** Scalars put together as one record of so many rows. */
  gather(placed: readonly Placed[], rows: number, releases: Releases): Source;
  /** A scalar in the first element of a texture. */
  scalar(scalar: StepScalar, releases: Releases): Source;
  dispose(): void;
}

/** Outputs of an update: the parameter, its slots, and the master where there is one. */
export function outputCount({ masters }: Pick<Store, "masters">, { slots }: Program): number {
  return 1 + slots.length + Number(masters);
}

/** Texels in a row of a record that holds these scalars. */
export function recordWidth(placed: readonly Placed[]): number {
  return Math.max(2, ...placed.map(({ element }) => Math.floor(element / 4) + 1));
}

interface TensorPlane extends Target {
  readonly info: tf.TensorInfo;
}

/** Tensors of tfjs: its pool makes the textures, its accounting counts them, and another backend can take them over. */
export class TensorStore implements Store<TensorPlane> {
  readonly prologue = `#define planeSampler sampler2D
#define planeTexel vec4
#define fetchPlane(plane, at) texelFetch(plane, at, 0)
#define toPlane(a) (a)
`;
  readonly masters = false;
  readonly #canvas: Surface;

  constructor(canvas: Surface) {
    this.#canvas = canvas;
  }

  make(shape: readonly number[]): TensorPlane {
    const info = this.#canvas.output(shape);
    return { ...this.#canvas.target(info), info };
  }

  free({ info }: TensorPlane): void {
    this.#canvas.dispose(info);
  }

  put(cell: TensorCell, { info }: TensorPlane): void {
    cell.replace(this.#canvas.tensor(info));
  }

  source(cell: TensorCell, releases: Releases): Source {
    return this.tensor(cell.tensor, releases);
  }

  part(cell: TensorCell, releases: Releases): Part {
    const { tensor, scale } = cell.parts;
    return { source: this.tensor(tensor, releases), scale };
  }

  tensor(tensor: tf.Tensor, releases: Releases): Source {
    return this.#canvas.source(tensor, releases);
  }

  parameter({ parameter }: Item, releases: Releases): Source {
    return this.#canvas.source(parameter.value, releases);
  }

  besides(): readonly TensorCell[] {
    return [];
  }

  assigned(): void {}

  records({ info }: TensorPlane): Records {
    return new TensorRecords(this.#canvas, this.#canvas.tensor(info));
  }

  /** An upload where the host has all of it, else tfjs ops. */
  gather(placed: readonly Placed[], rows: number, releases: Releases): Source {
    const width = recordWidth(placed);
    const values = new Float32Array(4 * rows * width);
    const known = placed.filter(({ scalar }) => typeof scalar === "number");
    const at = ({ row, element }: Placed): number => {
      const [i, j] = placeOf(row, element);
      return i * 2 * width + j;
    };
    for (const one of known) values[at(one)] = one.scalar as number;
    const base = tf.tensor2d(values, [2 * rows, 2 * width]);
    if (known.length === placed.length) return this.#canvas.source(base, releases);
    const onDevice = placed.filter(({ scalar }) => typeof scalar !== "number");
    const indices = tf.tensor1d(onDevice.map(at), "int32");
    const updates = tf.stack(onDevice.map(({ scalar }) => operand(scalar) as tf.Tensor));
    const scattered = tf.scatterND(tf.expandDims(indices, 1), updates, [values.length]);
    return this.#canvas.source(tf.add(base, tf.reshape(scattered, base.shape)), releases);
  }

  scalar(scalar: StepScalar, releases: Releases): Source {
    return this.#canvas.source(operand(scalar) as tf.Tensor, releases);
  }

  dispose(): void {}
}
