import { memo } from "@mm/optim-core/backend";
import * as tf from "@tensorflow/tfjs-core";
import { type Source, sameBlocks, type Target } from "./layout.ts";
import { drawsHalfFloats, type TextureData, webglBackend, type WebglBackend } from "./private.ts";
import { type Store, TensorStore } from "./store.ts";
import type { Draw, Linked, Releases, Surface } from "./surface.ts";
import { WordStore } from "./word-store.ts";

const head = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
`;

// Counter-clockwise, since tfjs culls back faces, and larger than the screen.
const vertexSource = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

const canvases = /* @__PURE__ */ new WeakMap<object, Canvas>();

/**
 * Draws of our own in the context of tfjs-webgl. Textures are those of ordinary tfjs tensors: its pool makes them, its accounting counts
 * them, and `dispose` gives them back; but for those of the store, where tfjs's are half floats. One for all optimizers on a backend; it goes when the last of them does.
 */
export class Canvas implements Surface {
  readonly backend: WebglBackend;
  readonly gl: WebGL2RenderingContext;
  /** Where draws keep float32. */
  readonly store: Store;
  /** Textures that one draw can write. */
  readonly maxTargets: number;
  readonly maxTextureSize: number;
  /** Textures that one draw can read. */
  readonly maxSamplers: number;
  readonly #sizes = new Map<string, readonly [width: number, height: number]>();
  readonly #programs = new Map<string, Linked>();
  readonly #framebuffers: (WebGLFramebuffer | undefined)[] = [];
  readonly #vertexArray: WebGLVertexArrayObject;
  #vertex: WebGLShader | undefined;
  #users = 0;
  /** The bindings since `begin`. */
  #current: { linked?: Linked | undefined; targets?: number; rectangle?: string } = {};

  /** The canvas of a backend of tfjs; `undefined` where there can be none. Call `release` when it is no longer needed. */
  static of(candidate: object): Canvas | undefined {
    const known = canvases.get(candidate);
    if (known !== undefined) {
      if (known.gl.isContextLost()) return undefined;
      known.#users += 1;
      return known;
    }
    const backend = webglBackend(candidate);
    if (backend === undefined) return undefined;
    const canvas = new Canvas(backend);
    if (canvas.maxTargets === 0) {
      canvas.#free();
      return undefined;
    }
    canvases.set(candidate, canvas);
    canvas.#users = 1;
    return canvas;
  }

  private constructor(backend: WebglBackend) {
    this.backend = backend;
    this.gl = backend.gpgpu.gl;
    this.#vertexArray = this.gl.createVertexArray();
    this.maxTextureSize = this.gl.getParameter(this.gl.MAX_TEXTURE_SIZE) as number;
    this.maxSamplers = this.gl.getParameter(this.gl.MAX_TEXTURE_IMAGE_UNITS) as number;
    this.store = drawsHalfFloats(backend) ? new WordStore(this) : new TensorStore(this);
    this.maxTargets = this.#probeTargets();
  }

  retain(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    canvases.delete(this.backend);
    this.#free();
  }

  get active(): boolean {
    return tf.backend() === (this.backend as object) && !this.gl.isContextLost();
  }

  link(source: string, samplers: readonly string[]): Linked {
    const known = this.#programs.get(source);
    if (known !== undefined) return known;
    const { gl } = this;
    this.#vertex ??= this.#shader(gl.VERTEX_SHADER, vertexSource);
    const fragment = this.#shader(gl.FRAGMENT_SHADER, head + this.store.prologue + source);
    const program = gl.createProgram();
    gl.attachShader(program, this.#vertex);
    gl.attachShader(program, fragment);
    gl.linkProgram(program);
    gl.deleteShader(fragment);
    if (gl.getProgramParameter(program, gl.LINK_STATUS) !== true && !gl.isContextLost())
      throw new Error(`${gl.getProgramInfoLog(program) ?? ""}\n${source}`);
    const locations = new Map<string, WebGLUniformLocation | null>();
    const location = (name: string): WebGLUniformLocation | null => {
      let found = locations.get(name);
      if (found === undefined) locations.set(name, (found = gl.getUniformLocation(program, name)));
      return found;
    };
    gl.useProgram(program);
    for (const [unit, name] of samplers.entries()) gl.uniform1i(location(name), unit);
    this.#current.linked = undefined;
    const linked = { program, location, holds: undefined };
    this.#programs.set(source, linked);
    return linked;
  }

  output(shape: readonly number[]): tf.TensorInfo {
    const info = this.backend.makeTensorInfo(shape, "float32");
    this.backend.texData.get(info.dataId).isPacked = true;
    this.backend.uploadToGPU(info.dataId);
    return info;
  }

  sizeOf(shape: readonly number[]): readonly [width: number, height: number] {
    return memo(this.#sizes, shape.join(), () => {
      const info = this.output(shape);
      const { width, height } = this.target(info);
      this.dispose(info);
      return [width, height] as const;
    });
  }

  target({ dataId }: Pick<tf.TensorInfo, "dataId">): Target {
    const data = this.backend.texData.get(dataId);
    const [rows, columns] = data.texShape as readonly [number, number];
    const [width, height] = [Math.ceil(columns / 2), Math.ceil(rows / 2)];
    return { texture: textureOf(data), layout: "packed", width, height };
  }

  source(tensor: tf.Tensor, releases: Releases): Source {
    const { backend } = this;
    let data = backend.texData.get(tensor.dataId);
    const convert = (info: tf.TensorInfo): void => {
      releases.push(() => this.dispose(info));
      data = backend.texData.get(info.dataId);
    };
    const { dataId, shape, dtype } = tensor;
    if (data.slice !== null && data.slice !== undefined) convert(backend.packTensor(tensor));
    else if (data.texture === null || data.texture === undefined) {
      data.isPacked = true;
      data.shape = shape;
      backend.uploadToGPU(dataId);
    } else if (data.isPacked && !sameBlocks(data.shape, shape)) {
      convert(backend.packedReshape({ dataId, shape: data.shape.slice(), dtype }, shape));
    }
    const [, columns] = data.texShape as readonly [number, number];
    return data.isPacked
      ? { texture: textureOf(data), layout: "packed", width: Math.ceil(columns / 2) }
      : { texture: textureOf(data), layout: "flat", width: columns };
  }

  begin(): void {
    this.#current = {};
    this.gl.bindVertexArray(this.#vertexArray);
  }

  draw({ linked, inputs, outputs, region, channel, set }: Draw): void {
    const { gl } = this;
    const current = this.#current;
    if (current.targets !== outputs.length) this.#bindFramebuffer(outputs.length);
    for (const [index, { texture }] of outputs.entries())
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + index, gl.TEXTURE_2D, texture, 0);
    const [{ width, height }] = outputs as readonly [Target];
    const { x = 0, y, width: columns, height: rows } = region ?? { y: 0, width, height };
    const rectangle = `${x} ${y} ${columns} ${rows}`;
    if (current.rectangle !== rectangle) {
      // tfjs leaves the scissor test on.
      gl.viewport(x, y, columns, rows);
      gl.scissor(x, y, columns, rows);
      current.rectangle = rectangle;
    }
    if (current.linked !== linked) {
      gl.useProgram(linked.program);
      current.linked = linked;
    }
    set?.(gl, linked);
    for (const [unit, { texture }] of inputs.entries()) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    }
    if (channel !== undefined) gl.colorMask(channel === 0, channel === 1, channel === 2, channel === 3);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    if (channel !== undefined) gl.colorMask(true, true, true, true);
  }

  end(): void {
    this.gl.bindVertexArray(null);
    this.#current = {};
  }

  tensor(info: tf.TensorInfo): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(info, this.backend);
  }

  dispose(info: tf.TensorInfo): void {
    this.backend.disposeIntermediateTensorInfo(info);
  }

  #bindFramebuffer(targets: number): void {
    const { gl } = this;
    // One for each number of targets: attachments of different sizes are refused, those that are not drawn into too.
    let framebuffer = this.#framebuffers[targets];
    const isNew = framebuffer === undefined;
    framebuffer ??= this.#framebuffers[targets] = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    if (isNew) gl.drawBuffers(Array.from({ length: targets }, (_, index) => gl.COLOR_ATTACHMENT0 + index));
    this.#current.targets = targets;
  }

  #shader(type: GLenum, source: string): WebGLShader {
    const { gl } = this;
    const shader = gl.createShader(type) as WebGLShader;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (gl.getShaderParameter(shader, gl.COMPILE_STATUS) !== true && !gl.isContextLost())
      throw new Error(`${gl.getShaderInfoLog(shader) ?? ""}\n${source}`);
    return shader;
  }

  /**
   * How many textures one draw can write, the first of tfjs and the others of the store: a device may name more buffers than it has room for (iPhones have 512 bits a pixel, or
   * 256), and then draws nothing without a word.
   */
  #probeTargets(): number {
    const { gl } = this;
    const info = this.output([2, 2]);
    try {
      const { texture } = this.target(info);
      const most = Math.min(gl.getParameter(gl.MAX_DRAW_BUFFERS) as number, 8);
      // The same texture may not be attached twice for drawing, but attachments are counted alike.
      const extra = Array.from({ length: most - 1 }, () => this.store.make([2, 2]));
      const textures = [texture, ...extra.map((other) => other.texture)];
      let targets = most;
      for (; targets > 0; targets -= 1) {
        const framebuffer = gl.createFramebuffer();
        gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
        for (let index = 0; index < targets; index += 1) {
          const attachment = gl.COLOR_ATTACHMENT0 + index;
          const attached = textures[index] as WebGLTexture;
          gl.framebufferTexture2D(gl.FRAMEBUFFER, attachment, gl.TEXTURE_2D, attached, 0);
        }
        gl.drawBuffers(Array.from({ length: targets }, (_, index) => gl.COLOR_ATTACHMENT0 + index));
        const complete = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
        gl.deleteFramebuffer(framebuffer);
        if (complete) break;
      }
      for (const other of extra) this.store.free(other);
      return targets;
    } finally {
      this.dispose(info);
    }
  }

  #free(): void {
    const { gl } = this;
    this.store.dispose();
    for (const { program } of this.#programs.values()) gl.deleteProgram(program);
    for (const framebuffer of this.#framebuffers) if (framebuffer) gl.deleteFramebuffer(framebuffer);
    if (this.#vertex !== undefined) gl.deleteShader(this.#vertex);
    gl.deleteVertexArray(this.#vertexArray);
  }
}

function textureOf({ texture }: TextureData): WebGLTexture {
  return (texture as { readonly texture: WebGLTexture }).texture;
}
