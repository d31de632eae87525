/** The buffers that optimizers make from now on and do not destroy. Those of jax-js have no label; it keeps what it frees in a pool. */
export function countOwn(device: GPUDevice): ReadonlySet<GPUBuffer> {
  const alive = new Set<GPUBuffer>();
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer(descriptor);
    if (descriptor.label?.startsWith("optim") !== true) return buffer;
    alive.add(buffer);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      alive.delete(buffer);
      return destroy();
    };
    return buffer;
  };
  return alive;
}
