/** The bytes of a range of a buffer (which needs COPY_SRC), now that all submitted work is done. */
export async function readBytes(
  device: GPUDevice,
  { buffer, offset = 0, size }: GPUBufferBinding,
): Promise<ArrayBuffer> {
  const length = size ?? buffer.size - offset;
  // Copies and mappings come in units of 4 bytes.
  const padded = Math.ceil(length / 4) * 4;
  const staging = device.createBuffer({ label: "test staging", size: padded, usage: 0x0001 | 0x0008 }); // MAP_READ | COPY_DST
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, padded);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(0x0001); // READ
  const bytes = staging.getMappedRange().slice(0, length);
  staging.destroy();
  return bytes;
}

export async function readFloats(device: GPUDevice, binding: GPUBufferBinding): Promise<Float32Array> {
  return new Float32Array(await readBytes(device, binding));
}

/** A storage buffer that can be written to and read, with these values. */
export function storageBuffer(
  device: GPUDevice,
  values: Float32Array | Uint32Array | Uint16Array,
  label = "test",
): GPUBuffer {
  const size = Math.max(4, Math.ceil(values.byteLength / 4) * 4);
  // STORAGE | COPY_SRC | COPY_DST
  const buffer = device.createBuffer({
    label,
    size,
    usage: 0x0080 | 0x0004 | 0x0008,
    mappedAtCreation: true,
  });
  new Uint8Array(buffer.getMappedRange()).set(
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  );
  buffer.unmap();
  return buffer;
}
