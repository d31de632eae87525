import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { webgpuOptimizer, type WebgpuLoss } from "@mm/optim-webgpu";
import { d, type StorageFlag, tgpu, type TgpuBuffer } from "typegpu";

type Points = TgpuBuffer<d.WgslArray<d.Vec3f>> & StorageFlag;

/** Points in space that are moved to others. */
export interface Fit {
  /** A typed buffer, which the optimizer writes into. */
  readonly points: Points;
  readonly optim: OptimWrapper<WebgpuLoss<"points">, undefined>;
  /** One update, enqueued. */
  step(): void;
}

const points = (count: number) => d.arrayOf(d.vec3f, count);
const layout = tgpu.bindGroupLayout({
  points: { storage: points },
  wanted: { storage: points },
  scale: { storage: d.f32 },
  gradient: { storage: points, access: "mutable" },
});

/** The gradient of scale × Σ |point − wanted|². The fourth component, which pads a vec3f, is not written: its gradient is 0. */
const backward = tgpu.computeFn({ in: { id: d.builtin.globalInvocationId }, workgroupSize: [64] })`{
  let i = in.id.x;
  if (i < arrayLength(&layout.$.points)) {
    layout.$.gradient[i] = 2 * layout.$.scale * (layout.$.points[i] - layout.$.wanted[i]);
  }
}`.$uses({ layout });

export function fitPoints(device: GPUDevice, wantedPoints: readonly d.v3f[]): Fit {
  const root = tgpu.initFromDevice({ device });
  const count = wantedPoints.length;
  const moved = root.createBuffer(points(count)).$usage("storage");
  const wanted = root.createBuffer(points(count), [...wantedPoints]).$usage("storage");
  const pipeline = root.unwrap(root.createComputePipeline({ compute: backward }));

  const buffer = root.unwrap(moved);
  // A vec3f takes 16 bytes in an array: four numbers each, the last of which is padding.
  const optimizer = webgpuOptimizer(adam({ lr: 0.1 }), { points: { buffer, length: 4 * count } }, { device });
  const optim = createOptimWrapper(optimizer, { clipGrad: { maxNorm: 10 } });
  const loss: WebgpuLoss<"points"> = ({ encoder, grad, scale }) => {
    const resources = [{ buffer }, { buffer: root.unwrap(wanted) }, scale, grad("points")];
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    const pass = encoder.beginComputePass({ label: "backward" });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: root.unwrap(layout), entries }));
    pass.dispatchWorkgroups(Math.ceil(count / 64));
    pass.end();
  };
  return {
    points: moved,
    optim,
    step() {
      optim.updateParams(loss);
    },
  };
}
