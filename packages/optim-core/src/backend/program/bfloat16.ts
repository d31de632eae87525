// bfloat16: the upper half of a float32. Rounding is to nearest, ties to even; infinities stay what they are, and NaN is NaN.

/** @param to at least as long as `from` */
export function toBfloat16(from: Float32Array, to: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let index = 0; index < bits.length; index += 1) {
    const word = bits[index] as number;
    // A NaN keeps a bit of its mantissa that rounding could not carry away.
    const isNan = (word & 0x7fffffff) > 0x7f800000;
    to[index] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}

/** @param from at least as long as `to` */
export function fromBfloat16(from: Uint16Array, to: Float32Array): void {
  const bits = new Uint32Array(to.buffer, to.byteOffset, to.length);
  for (let index = 0; index < bits.length; index += 1) bits[index] = (from[index] as number) << 16;
}

/** The elements of a vector that holds two bfloat16 in the place of each float32: where they are, not a copy. */
export const halvesOf = ({ buffer, byteOffset, length }: Float32Array): Uint16Array =>
  new Uint16Array(buffer, byteOffset, 2 * length);

/** The float32 places that so many bfloat16 take. */
export const placesFor = (elements: number): number => Math.ceil(elements / 2);

/** Elements rounded and packed, two in the place of one. Behind an odd number there is a zero. */
export function packBfloat16(values: Float32Array): Float32Array {
  const places = new Float32Array(placesFor(values.length));
  toBfloat16(values, halvesOf(places));
  return places;
}

/** The elements that {@link packBfloat16} has packed, as float32. */
export function unpackBfloat16(places: Float32Array, length: number): Float32Array {
  const values = new Float32Array(length);
  fromBfloat16(halvesOf(places), values);
  return values;
}
