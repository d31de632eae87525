import { halfToNumber, lengthOf, refuse } from "@mm/optim-core/backend";
import { isCount } from "@mm/optim-core/schema";

/**
 * Element types of the safetensors format. `F16` and `BF16` come as their bits in a `Uint16Array`, since JavaScript has no such arrays;
 * `BOOL` as bytes, 0 or 1.
 */
export type Dtype =
  "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" | "U64" | "U32" | "U16" | "U8" | "BOOL";

export type TensorData =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** Row-major. */
export interface FileTensor {
  readonly dtype: Dtype;
  /** `[]` is a scalar. */
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor as a caller writes it: its data alone has one dimension, and `dtype` follows from the kind of array where it is left out. */
export type TensorInput =
  TensorData | { readonly dtype?: Dtype; readonly shape: readonly number[]; readonly data: TensorData };

interface ArrayKind {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): TensorData;
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
}

/** The arrays of each type. The first type of a kind of array is what such an array holds when nothing else is said. */
const arrays: { readonly [D in Dtype]: ArrayKind } = {
  F64: Float64Array,
  F32: Float32Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/** Every type that is read and written. */
export const dtypes: readonly string[] = /* @__PURE__ */ Object.keys(arrays);

/** The kind of array that holds a type, if there is such a type. */
export function arrayOf(dtype: unknown): ArrayKind | undefined {
  return Object.hasOwn(arrays, dtype as Dtype) ? arrays[dtype as Dtype] : undefined;
}

/**
 * A tensor with everything filled in. Its data is not copied.
 *
 * @throws OptimError `invalid-option`
 */
export function tensorOf(input: TensorInput, where: string): FileTensor {
  const { data, shape, dtype } = (
    ArrayBuffer.isView(input) ? { data: input, shape: [input.length] } : Object(input)
  ) as { readonly data: unknown; readonly shape: unknown; readonly dtype?: unknown };
  const found = Object.entries(arrays).find(([name, kind]) =>
    dtype === undefined ? data instanceof (kind as never) : name === dtype,
  ) as [Dtype, ArrayKind] | undefined;
  if (found === undefined || !(data instanceof (found[1] as never))) {
    return refuse("invalid-option", where, found ? `a ${found[1].name}` : "a tensor", input);
  }
  const values = data as TensorData;
  if (!Array.isArray(shape) || !shape.every(isCount) || lengthOf(shape) !== values.length) {
    refuse("invalid-option", where, `a shape of ${values.length} elements`, shape);
  }
  return { dtype: found[0], shape: [...shape], data: values };
}

/** Bytes that no other thread shares, as a Blob wants them. TypeScript below 5.7 has no `Uint8Array<ArrayBuffer>`. */
export type Bytes = ReturnType<Uint8ArrayConstructor["of"]>;

/** The bytes of an array, not copied. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Bytes {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/**
 * The elements as float32: of an `F32` tensor its own data, of every other a copy, rounded where the type is wider.
 */
export function toFloat32({ dtype, data }: FileTensor): Float32Array {
  if (data instanceof Float32Array) return data;
  if (dtype === "F16") return Float32Array.from(data as Uint16Array, halfToNumber);
  if (dtype === "BF16") {
    const bits = Uint32Array.from(data as Uint16Array, (half) => half << 16);
    return new Float32Array(bits.buffer);
  }
  return Float32Array.from(data as Int32Array, Number);
}
