import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import type { BatchMatMulAttrs, TensorInfo } from "@tensorflow/tfjs-core";
import { transposeMatrices } from "./transpose.ts";

/**
 * Products of matrices. tfjs takes a plain loop for transposed factors and for batches, and XNNPACK for one product of two plain matrices; so factors are
 * transposed first, and a batch is one product after the other.
 */
export function matMul(
  backend: BackendWasm,
  { a, b }: { readonly a: TensorInfo; readonly b: TensorInfo },
  { transposeA, transposeB }: BatchMatMulAttrs,
): TensorInfo | undefined {
  const batch = a.shape.slice(0, -2);
  const [m, k] = sides(a, transposeA);
  const [inner, n] = sides(b, transposeB);
  const isPlain = a.dtype === "float32" && b.dtype === "float32" && inner === k;
  // Another batch of b is broadcast, and sizes that do not fit are an error: both by tfjs.
  if (!isPlain || String(batch) !== String(b.shape.slice(0, -2))) return undefined;

  const first = transposeA ? transposeMatrices(backend, a) : a;
  const second = transposeB ? transposeMatrices(backend, b) : b;
  const result = backend.makeOutput([...batch, m, n], "float32");
  multiply(
    backend,
    batch.reduce((size, length) => size * length, 1),
    [first, second, result],
    [m, k, n],
  );
  if (transposeA) backend.disposeData(first.dataId);
  if (transposeB) backend.disposeData(second.dataId);
  return result;
}

function sides({ shape }: TensorInfo, transposed: boolean): readonly [rows: number, columns: number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

function multiply(
  backend: BackendWasm,
  count: number,
  tensors: readonly TensorInfo[],
  [m, k, n]: readonly [number, number, number],
): void {
  const product = productOf(backend);
  const data = tensors.map(({ dataId }): Data => backend.dataIdMap.get(dataId));
  const [a, b, result] = data as [Data, Data, Data];
  const [shapeOfA, shapeOfB] = [bytesOf([1, m, k]), bytesOf([1, k, n])];
  if (count === 1) return product(a.id, shapeOfA, 3, b.id, shapeOfB, 3, false, false, result.id);
  const { tfjs } = backend.wasm;
  const parts = [
    { data: a, id: borrowedId, size: m * k },
    { data: b, id: borrowedId + 1, size: k * n },
    { data: result, id: borrowedId + 2, size: m * n },
  ] as const;
  for (let item = 0; item < count; item++) {
    // Each item under an id of its own: XNNPACK keeps the second factor, packed, by its id until the id is given back.
    for (const { data, id, size } of parts)
      tfjs.registerTensor(id, size, data.memoryOffset + item * size * Float32Array.BYTES_PER_ELEMENT);
    product(parts[0].id, shapeOfA, 3, parts[1].id, shapeOfB, 3, false, false, parts[2].id);
    for (const { id } of parts) tfjs.disposeData(id);
  }
}

interface Data {
  readonly id: number;
  readonly memoryOffset: number;
}

/** Far above those that tfjs counts up for its tensors. */
const borrowedId = 1e9;

type Product = (
  a: number,
  shapeOfA: Uint8Array,
  rankOfA: number,
  b: number,
  shapeOfB: Uint8Array,
  rankOfB: number,
  transposeA: boolean,
  transposeB: boolean,
  result: number,
) => void;

/** Members that tfjs leaves out of its types. */
interface Emscripten {
  cwrap(name: string, result: null, types: readonly string[]): unknown;
}

const products = /* @__PURE__ */ new WeakMap<BackendWasm, Product>();

function productOf(backend: BackendWasm): Product {
  const known = products.get(backend);
  if (known) return known;
  const types = ["number", "array", "number", "number", "array", "number", "number", "number", "number"];
  const made = (backend.wasm as object as Emscripten).cwrap("BatchMatMul", null, types) as Product;
  products.set(backend, made);
  return made;
}

const bytesOf = (shape: readonly number[]): Uint8Array => new Uint8Array(Int32Array.from(shape).buffer);
