/** Values of `GPUBufferUsage` and its like, which are no globals where WebGPU is handed in (Node). */
export const bufferUsage = {
  mapRead: 0x0001,
  copyTarget: 0x0008,
  uniform: 0x0040,
} as const;
export const mapForReading = 0x0001;
export const computeStage = 0x4;

/** STORAGE | COPY_SRC | COPY_DST: what every buffer that kernels work on is made for. */
export const workingUsage = 0x008c;

/** Bindings of storage buffers begin at multiples of this, on every device. */
export const bindingAlignment = 256;
