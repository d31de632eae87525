// bfloat16: the upper half of a float32. Rounding is to nearest, ties to even; infinities and NaN stay what they are.

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
