import { masterSlot, memo, packed } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import type { OpsParameter } from "../ops/ops-engine.ts";
import type { TensorCell } from "../ops/tensor-cell.ts";
import { operand, type StepScalar } from "../scalar.ts";
import { readTensors } from "../transfer.ts";
import type { Item } from "./lanes.ts";
import { layoutFor, reader, rowsAndColumns, type Source, type Target } from "./layout.ts";
import { RecordedScalar, Records } from "./records.ts";
import { type Part, type Placed, recordWidth, type Store } from "./store.ts";
import { drawSum } from "./sum.ts";
import type { Releases, Surface } from "./surface.ts";
import type { WordCell, WordPlane } from "./word-cell.ts";

/** A rectangle of texels of a plane. */
interface Window {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Float32 by its bits, in RGBA32UI textures of our own: what tfjs has on devices that render no float32 are half floats. WebGL 2 draws into
 * such textures without an extension. They come from a pool, as tfjs's do: a warm step makes none. `tf.memory()` does not know them.
 */
export class WordStore implements Store<WordPlane> {
  readonly prologue = `#define planeSampler usampler2D
#define planeTexel uvec4
#define fetchPlane(plane, at) uintBitsToFloat(texelFetch(plane, at, 0))
#define toPlane(a) floatBitsToUint(a)
`;
  readonly masters = true;
  readonly #canvas: Surface;
  readonly #pool = new Map<string, WebGLTexture[]>();
  #framebuffer: WebGLFramebuffer | undefined;

  constructor(canvas: Surface) {
    this.#canvas = canvas;
  }

  make(shape: readonly number[]): WordPlane {
    const [width, height] = this.#canvas.sizeOf(shape);
    const texture = this.#pooled(width, height).pop() ?? this.#create(width, height);
    return { texture, layout: "plane", width, height, shape };
  }

  free({ texture, width, height }: WordPlane): void {
    this.#pooled(width, height).push(texture);
  }

  /** A plane of one value. */
  fill(shape: readonly number[], value: number): WordPlane {
    const { gl } = this.#canvas;
    const plane = this.make(shape);
    const [bits = 0] = new Uint32Array(Float32Array.of(value).buffer);
    this.#attach(plane);
    gl.scissor(0, 0, plane.width, plane.height);
    gl.clearBufferuiv(gl.COLOR, 0, [bits, bits, bits, bits]);
    this.#detach();
    return plane;
  }

  /** A plane of these elements. */
  write(shape: readonly number[], data: Float32Array): WordPlane {
    const plane = this.make(shape);
    const texels = new Float32Array(4 * plane.width * plane.height);
    visitBlocks(shape, data.length, (element, place) => (texels[place] = data[element] as number));
    this.#upload(plane, texels);
    return plane;
  }

  put(cell: TensorCell, plane: WordPlane): void {
    (cell as WordCell).hold(plane);
  }

  source(cell: TensorCell, releases: Releases): Source {
    const part = this.part(cell, releases);
    if (part.scale === 1) return part.source;
    const { value } = (cell as WordCell).parameter;
    this.put(cell, drawSum(this.#canvas, this, value.shape, [part]));
    return (cell as WordCell).plane as WordPlane;
  }

  part(cell: TensorCell, releases: Releases): Part {
    const { plane } = cell as WordCell;
    if (plane !== undefined) return { source: plane, scale: 1 };
    const { tensor, scale } = cell.parts;
    return { source: this.tensor(tensor, releases), scale };
  }

  /** A tensor as an input, as it is where the host has it: tfjs would make half floats of it. */
  tensor(tensor: tf.Tensor, releases: Releases): Source {
    const values = this.#onHost(tensor);
    if (values === undefined) return this.#canvas.source(tensor, releases);
    const written = this.write(tensor.shape, values);
    releases.push(() => this.free(written));
    return written;
  }

  parameter({ parameter }: Item, releases: Releases): Source {
    return this.master(parameter) ?? this.tensor(parameter.value, releases);
  }

  besides({ parameter }: Item): readonly TensorCell[] {
    return [parameter.slots.get(masterSlot) as TensorCell];
  }

  assigned({ parameter }: Pick<Item, "parameter">): void {
    const { dataId } = parameter.value;
    const data = this.#canvas.backend.texData.get(dataId);
    (parameter.slots.get(masterSlot) as WordCell).rounded = { dataId, data };
  }

  /**
   * The master of a parameter, `undefined` where the variable is it. Where the variable was assigned since the last step, elements that are no
   * longer the rounded master take its place.
   */
  master(parameter: OpsParameter): WordPlane | undefined {
    const { plane, rounded } = (parameter.slots.get(masterSlot) as WordCell | undefined) ?? {};
    if (plane === undefined) return undefined;
    const { value } = parameter;
    if (rounded?.data === this.#canvas.backend.texData.get(value.dataId)) return plane;
    const releases: Releases = [];
    const variable = this.#canvas.source(value, releases);
    const followed = this.#follow(plane, variable);
    for (const release of releases) release();
    this.put(parameter.slots.get(masterSlot) as WordCell, followed);
    this.assigned({ parameter });
    return followed;
  }

  records(plane: WordPlane): Records {
    return new WordRecords(this.#canvas, this, plane);
  }

  gather(placed: readonly Placed[], rows: number, releases: Releases): Source {
    const width = recordWidth(placed);
    const plane = this.make([2 * rows, 2 * width]);
    releases.push(() => this.free(plane));
    const texels = new Float32Array(4 * rows * width);
    const onDevice: Placed[] = [];
    for (const one of placed) {
      const { row, element, scalar } = one;
      const known =
        typeof scalar === "number"
          ? scalar
          : scalar instanceof RecordedScalar
            ? undefined
            : this.#onHost(scalar.tensor)?.[0];
      if (known === undefined) onDevice.push(one);
      else texels[4 * row * width + element] = known;
    }
    this.#upload(plane, texels);
    for (const { row, element, scalar } of onDevice) {
      const region = { x: Math.floor(element / 4), y: row, width: 1, height: 1 };
      if (scalar instanceof RecordedScalar) {
        const [at, from] = [scalar.element, scalar.records.source(releases)];
        this.pick(from, [Math.floor(at / 4), scalar.row, at % 4], plane, region, element % 4);
      } else {
        const tensor = this.#canvas.source(operand(scalar) as tf.Tensor, releases);
        this.pick(tensor, [0, 0, 0], plane, region, element % 4);
      }
    }
    return plane;
  }

  scalar(scalar: StepScalar, releases: Releases): Source {
    return this.gather([{ row: 0, element: 0, scalar }], 1, releases);
  }

  /** Draws one element into a texel. */
  pick(
    from: Source,
    place: readonly [x: number, y: number, channel: number],
    into: Target,
    region: Window,
    channel?: number,
  ): void {
    const canvas = this.#canvas;
    const linked = canvas.link(
      `uniform ivec3 place;
uniform ${from.layout === "plane" ? "planeSampler" : "sampler2D"} one;
layout(location = 0) out ${into.layout === "plane" ? "planeTexel" : "vec4"} out0;
void main() {
  vec4 found = ${from.layout === "plane" ? "fetchPlane(one, place.xy)" : "texelFetch(one, place.xy, 0)"};
  vec4 value = vec4(found[place.z]);
  out0 = ${into.layout === "plane" ? "toPlane(value)" : "value"};
}`,
      ["one"],
    );
    canvas.begin();
    canvas.draw({
      linked,
      inputs: [from],
      outputs: [into],
      region,
      ...(channel !== undefined && { channel }),
      set: (gl, { location }) => gl.uniform3i(location("place"), ...place),
    });
    canvas.end();
  }

  /** Elements of vectors as of the call, in order: views of one ArrayBuffer. Waits for the device. */
  async read(cells: readonly TensorCell[]): Promise<Float32Array[]> {
    const started = (cells as readonly WordCell[]).map((cell): Promise<Float32Array> => {
      if (this.#canvas.active) {
        if (cell.isMaster) this.master(cell.parameter);
        else if (cell.plane === undefined) this.#scaled(cell);
      }
      const { plane, parameter, rounded } = cell;
      // On another backend: assigned since.
      const isOld = cell.isMaster && rounded?.dataId !== parameter.value.dataId;
      return plane === undefined || isOld
        ? readTensors([isOld ? parameter.value : cell.tensor]).then(([data]) => data as Float32Array)
        : this.readWindow(plane).then((texels) => elementsOf(plane, texels));
    });
    return packed(await Promise.all(started));
  }

  /** The elements at once. */
  readNow(plane: WordPlane): Float32Array {
    return elementsOf(plane, this.readWindowNow(plane));
  }

  readWindowNow(
    plane: WordPlane,
    { x, y, width, height }: Window = { x: 0, y: 0, ...sizeOf(plane) },
  ): Float32Array {
    const { gl } = this.#canvas;
    const bits = new Uint32Array(4 * width * height);
    this.#attach(plane);
    gl.readPixels(x, y, width, height, gl.RGBA_INTEGER, gl.UNSIGNED_INT, bits);
    this.#detach();
    return new Float32Array(bits.buffer);
  }

  /** Texels as of the call. Waits for the device; where its context is lost, without end: see `guardContext`. */
  async readWindow(
    plane: WordPlane,
    { x, y, width, height }: Window = { x: 0, y: 0, ...sizeOf(plane) },
  ): Promise<Float32Array> {
    const { gl } = this.#canvas;
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, 16 * width * height, gl.STREAM_READ);
    this.#attach(plane);
    gl.readPixels(x, y, width, height, gl.RGBA_INTEGER, gl.UNSIGNED_INT, 0);
    this.#detach();
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    await fence(gl);
    const texels = new Float32Array(4 * width * height);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, texels);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    gl.deleteBuffer(buffer);
    return texels;
  }

  dispose(): void {
    const { gl } = this.#canvas;
    for (const texture of [...this.#pool.values()].flat()) gl.deleteTexture(texture);
    this.#pool.clear();
    if (this.#framebuffer !== undefined) gl.deleteFramebuffer(this.#framebuffer);
    this.#framebuffer = undefined;
  }

  /** An accumulator as it counts, where it is a gradient as it came. */
  #scaled(cell: WordCell): void {
    if (cell.parts.scale === 1) return;
    const releases: Releases = [];
    this.source(cell, releases);
    for (const release of releases) release();
  }

  /** The float32 elements of a tensor that the device has not. */
  #onHost({ dataId, dtype }: tf.Tensor): Float32Array | undefined {
    if (!this.#canvas.active || dtype !== "float32") return undefined;
    const { values, slice } = this.#canvas.backend.texData.get(dataId);
    return values instanceof Float32Array && (slice === null || slice === undefined) ? values : undefined;
  }

  /** A master whose elements are the variable's where it does not hold their rounding. */
  #follow(plane: WordPlane, variable: Source): WordPlane {
    const canvas = this.#canvas;
    const next = this.make(plane.shape);
    const linked = canvas.link(
      `uniform ivec3 shape;
layout(location = 0) out planeTexel out0;
${reader("before", "plane")}
${reader("param", layoutFor(variable, next.width))}
void main() {
  int t = int(gl_FragCoord.y) * shape.z + int(gl_FragCoord.x);
  vec4 master = before_at(t);
  vec4 rounded = vec4(unpackHalf2x16(packHalf2x16(master.xy)), unpackHalf2x16(packHalf2x16(master.zw)));
  vec4 now = param_at(t);
  out0 = toPlane(mix(now, master, equal(now, rounded)));
}`,
      ["before", "param"],
    );
    canvas.begin();
    canvas.draw({
      linked,
      inputs: [plane, variable],
      outputs: [next],
      set(gl, { location }) {
        const [rows, columns] = rowsAndColumns(plane.shape);
        gl.uniform3i(location("shape"), rows, columns, next.width);
      },
    });
    canvas.end();
    return next;
  }

  #pooled(width: number, height: number): WebGLTexture[] {
    return memo(this.#pool, `${width} ${height}`, () => []);
  }

  #create(width: number, height: number): WebGLTexture {
    const { gl } = this.#canvas;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32UI, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.bindTexture(gl.TEXTURE_2D, null);
    return texture;
  }

  #upload({ texture, width, height }: WordPlane, texels: Float32Array): void {
    const { gl } = this.#canvas;
    const bits = new Uint32Array(texels.buffer);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA_INTEGER, gl.UNSIGNED_INT, bits);
    gl.bindTexture(gl.TEXTURE_2D, null);
  }

  #attach({ texture }: WordPlane): void {
    const { gl } = this.#canvas;
    gl.bindFramebuffer(gl.FRAMEBUFFER, (this.#framebuffer ??= gl.createFramebuffer()));
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  }

  /** So that it does not keep the texture alive. */
  #detach(): void {
    const { gl } = this.#canvas;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, null, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }
}

/** A record in a plane. */
class WordRecords extends Records {
  readonly #canvas: Surface;
  readonly #store: WordStore;
  readonly #plane: WordPlane;

  /** Takes the plane. A loss scaler may outlive all optimizers, and the canvas lives as long as its scale. */
  constructor(canvas: Surface, store: WordStore, plane: WordPlane) {
    super();
    this.#canvas = canvas;
    this.#store = store;
    this.#plane = plane;
    canvas.retain();
  }

  source(): Source {
    return this.#plane;
  }

  element(row: number, element: number): tf.Tensor {
    const [x, channel] = [Math.floor(element / 4), element % 4];
    if (!this.#canvas.active) {
      const texel = this.#store.readWindowNow(this.#plane, { x, y: row, width: 1, height: 1 });
      return tf.scalar(texel[channel] as number);
    }
    const info = this.#canvas.output([]);
    const target = this.#canvas.target(info);
    this.#store.pick(this.#plane, [x, row, channel], target, { x: 0, y: 0, width: 1, height: 1 });
    return this.#canvas.tensor(info);
  }

  async read(row: number, element: number): Promise<number> {
    const region = { x: Math.floor(element / 4), y: row, width: 1, height: 1 };
    const texel = await this.#store.readWindow(this.#plane, region);
    return texel[element % 4] as number;
  }

  protected free(): void {
    this.#store.free(this.#plane);
    this.#canvas.release();
  }
}

const sizeOf = ({ width, height }: WordPlane): { readonly width: number; readonly height: number } => ({
  width,
  height,
});

function elementsOf({ shape }: WordPlane, texels: Float32Array): Float32Array {
  const data = new Float32Array(tf.util.sizeFromShape([...shape]));
  visitBlocks(shape, data.length, (element, place) => (data[element] = texels[place] as number));
  return data;
}

/** Calls with the place of each element among the values of a packed texture, four a texel. */
function visitBlocks(
  shape: readonly number[],
  size: number,
  visit: (element: number, place: number) => void,
): void {
  const [rows, columns] = rowsAndColumns(shape);
  const blocksInRow = Math.ceil(columns / 2);
  const blocksInBatch = Math.ceil(rows / 2) * blocksInRow;
  for (let element = 0; element < size; element += 1) {
    const column = element % columns;
    const line = (element - column) / columns;
    const row = line % rows;
    const block = ((line - row) / rows) * blocksInBatch + (row >> 1) * blocksInRow + (column >> 1);
    visit(element, 4 * block + 2 * (row & 1) + (column & 1));
  }
}

/** Waits until all that was enqueued is done. */
async function fence(gl: WebGL2RenderingContext): Promise<void> {
  const sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0) as WebGLSync;
  gl.flush();
  const isDone = (): boolean => {
    const status = gl.clientWaitSync(sync, 0, 0);
    return (status === gl.ALREADY_SIGNALED || status === gl.CONDITION_SATISFIED) && !gl.isContextLost();
  };
  while (!isDone()) await new Promise((resolve) => setTimeout(resolve, 1));
  gl.deleteSync(sync);
}
