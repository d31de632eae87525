const workgroupSize = 64;

/** Records one dispatch, of a thread for each of `threads` elements. */
export type Kernel = (pass: GPUComputePassEncoder, bindings: readonly GPUBufferBinding[]) => void;

/** `bindings` are the kernel's own, in the order of their numbers; its bind group is kept while they stay the same. */
export function createKernel(
  device: GPUDevice,
  { label, code }: { readonly label: string; readonly code: string },
  constants: Record<string, number>,
  threads: number,
): Kernel {
  const module = device.createShaderModule({ label, code });
  const pipeline = device.createComputePipeline({ label, layout: "auto", compute: { module, constants } });
  let bound: readonly GPUBufferBinding[] = [];
  let group: GPUBindGroup | undefined;
  return (pass, bindings) => {
    if (group === undefined || !same(bound, bindings)) {
      const entries = bindings.map((resource, binding) => ({ binding, resource }));
      group = device.createBindGroup({ label, layout: pipeline.getBindGroupLayout(0), entries });
      bound = bindings;
    }
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(Math.ceil(threads / workgroupSize));
  };
}

const same = (before: readonly GPUBufferBinding[], now: readonly GPUBufferBinding[]): boolean =>
  now.every(
    ({ buffer, offset, size }, index) =>
      before[index]?.buffer === buffer && before[index].offset === offset && before[index].size === size,
  );
