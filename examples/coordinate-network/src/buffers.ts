/** GPUBufferUsage and GPUMapMode, for which Node has no globals. */
const usage = { mapRead: 0x01, copySource: 0x04, copyTarget: 0x08, storage: 0x80 } as const;
const mapRead = 1;

/** A buffer of `count` 32-bit floats, all zero. */
export const floats = (device: GPUDevice, label: string, count: number): GPUBufferBinding => ({
  buffer: device.createBuffer({
    label,
    size: 4 * count,
    usage: usage.storage | usage.copySource | usage.copyTarget,
  }),
});

/** Fills the beginning of a binding, before whatever is submitted from now on. */
export function write(
  device: GPUDevice,
  { buffer, offset = 0 }: GPUBufferBinding,
  values: Float32Array,
): void {
  device.queue.writeBuffer(buffer, offset, values as Float32Array<ArrayBuffer>);
}

/** A copy of a whole buffer, once all submitted work is done. Waits for the device. */
export async function read(device: GPUDevice, { buffer }: GPUBufferBinding): Promise<Float32Array> {
  const { size } = buffer;
  const staging = device.createBuffer({ label: "staging", size, usage: usage.mapRead | usage.copyTarget });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(mapRead);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return values;
}
