/** The device, claiming other limits: what large parameters do can be tried with small ones. */
export function withLimits(device: GPUDevice, limits: Partial<GPUSupportedLimits>): GPUDevice {
  const own = device.limits;
  const value = new Proxy(own, {
    get: (_, name) => limits[name as keyof GPUSupportedLimits] ?? own[name as keyof GPUSupportedLimits],
  });
  return Object.defineProperty(device, "limits", { value });
}
