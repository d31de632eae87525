import * as tf from "@tensorflow/tfjs-core";

/** How tfjs-webgl holds the data of a tensor. Private to it, and probed before it is used. */
export interface TextureData {
  readonly texture?: { readonly texture: WebGLTexture } | null;
  /** Rows and columns of elements; a packed texture has half as many of each, rounded up. */
  readonly texShape: readonly [rows: number, columns: number] | null;
  isPacked: boolean;
  /** The shape under which a packed texture was made, which a reshape does not change. */
  shape: readonly number[];
  /** Elements that the host has, where the device has none. */
  readonly values?: ArrayLike<unknown> | null;
  /** Set for a view at an offset into the texture of another tensor. */
  readonly slice?: object | null;
}

/** The parts of tfjs-webgl that are used here. */
export interface WebglBackend extends tf.KernelBackend {
  readonly texData: { get(dataId: object): TextureData };
  readonly gpgpu: { readonly gl: WebGL2RenderingContext };
  makeTensorInfo(shape: readonly number[], dtype: "float32"): tf.TensorInfo;
  uploadToGPU(dataId: object): void;
  packTensor(input: tf.TensorInfo): tf.TensorInfo;
  packedReshape(input: tf.TensorInfo, shape: readonly number[]): tf.TensorInfo;
  disposeIntermediateTensorInfo(info: tf.TensorInfo): void;
}

const methods = [
  "makeTensorInfo",
  "uploadToGPU",
  "packTensor",
  "packedReshape",
  "disposeIntermediateTensorInfo",
] as const;

/** Whether a backend is tfjs-webgl where it draws half floats. */
export function drawsHalfFloats(candidate: object): boolean {
  return "gpgpu" in candidate && !tf.env().getBool("WEBGL_RENDER_FLOAT32_ENABLED");
}

/** The backend, where it is tfjs-webgl on WebGL 2 and its private parts are as expected; else `undefined`. */
export function webglBackend(candidate: object): WebglBackend | undefined {
  const parts = candidate as { readonly [name: string]: unknown } & Partial<WebglBackend>;
  const context = parts.gpgpu?.gl;
  if (typeof WebGL2RenderingContext !== "function" || !(context instanceof WebGL2RenderingContext))
    return undefined;
  if (!methods.every((name) => typeof parts[name] === "function")) return undefined;
  if (typeof parts.texData?.get !== "function" || context.isContextLost()) return undefined;
  const backend = candidate as WebglBackend;
  return laidOutAsExpected(backend) ? backend : undefined;
}

/** Whether a tensor that is made as a packed texture is one: 4 × 6 elements in 2 × 3 texels. */
function laidOutAsExpected(backend: WebglBackend): boolean {
  let info: tf.TensorInfo | undefined;
  try {
    info = backend.makeTensorInfo([3, 6], "float32");
    const data = backend.texData.get(info.dataId);
    data.isPacked = true;
    backend.uploadToGPU(info.dataId);
    const { texture, texShape, isPacked, shape } = backend.texData.get(info.dataId);
    return (
      texture?.texture instanceof WebGLTexture &&
      isPacked &&
      texShape?.[0] === 4 &&
      texShape[1] === 6 &&
      Array.isArray(shape)
    );
  } catch {
    return false;
  } finally {
    if (info !== undefined) backend.disposeIntermediateTensorInfo(info);
  }
}
