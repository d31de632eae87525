/** A vector of float32 in a WebAssembly memory. */
export interface Vector {
  /** Byte address, a multiple of 4 (of 16 is faster). */
  readonly pointer: number;
  /** In elements. */
  readonly length: number;
}
