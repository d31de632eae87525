import type * as tf from "@tensorflow/tfjs-core";
import type { Source, Target } from "./layout.ts";
import type { WebglBackend } from "./private.ts";

/** Calls that let go of what a draw has read, for after the last one. */
export type Releases = (() => void)[];

/** A program of WebGL, linked. */
export interface Linked {
  readonly program: WebGLProgram;
  /** Where a uniform is; `null` where the program has none of that name. */
  location(name: string): WebGLUniformLocation | null;
  /** The values of its uniforms, as far as the caller keeps account of it. */
  holds: unknown;
}

/** One draw over a rectangle of the targets. */
export interface Draw {
  readonly linked: Linked;
  readonly inputs: readonly Source[];
  readonly outputs: readonly Target[];
  /** Default: all of the targets. `x` is 0 by default. */
  readonly region?: {
    readonly x?: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  };
  /** The only channel that it writes. Default: all four. */
  readonly channel?: number;
  /** Sets uniforms. */
  readonly set?: (gl: WebGL2RenderingContext, linked: Linked) => void;
}

/** Draws in the context of tfjs-webgl, from and into textures of tfjs and others. */
export interface Surface {
  readonly backend: WebglBackend;
  readonly gl: WebGL2RenderingContext;
  /** Whether tfjs runs on this backend now, and its context is alive. */
  readonly active: boolean;
  /** One use more, for as long as `release` is not called. */
  retain(): void;
  release(): void;
  /** A program by its fragment shader. Linked once. */
  link(source: string, samplers: readonly string[]): Linked;
  /** A tensor in a packed texture of tfjs's pool, with no defined contents. */
  output(shape: readonly number[]): tf.TensorInfo;
  /** Texels in a row and in a column of an output of this shape. */
  sizeOf(shape: readonly number[]): readonly [width: number, height: number];
  target(info: Pick<tf.TensorInfo, "dataId">): Target;
  /**
   * A tensor as the input of a draw: uploaded where the host has it, converted where its texture is laid out for another shape. Runs
   * programs of tfjs, so call it for all inputs before the first draw. `releases` takes what must be called after the last one.
   */
  source(tensor: tf.Tensor, releases: Releases): Source;
  /** Call it before draws that follow each other, with nothing of tfjs in between. */
  begin(): void;
  draw(draw: Draw): void;
  end(): void;
  /** A tensor of tfjs over what a draw has written. */
  tensor(info: tf.TensorInfo): tf.Tensor;
  dispose(info: tf.TensorInfo): void;
}
