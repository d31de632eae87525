/** Adam the way someone would write it for one tensor: vec4, tiles of 4,096 elements, scalars from the host. */
const code = /* wgsl */ `
struct Scalars {
  size: f32, // lr ÷ (1 − beta1ᵗ)
  root: f32, // 1 ÷ √(1 − beta2ᵗ)
  beta1: f32,
  beta2: f32,
  eps: f32,
  quads: u32,
}
@group(0) @binding(0) var<storage, read_write> param: array<vec4f>;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> mean: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> square: array<vec4f>;
@group(0) @binding(4) var<uniform> scalars: Scalars;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) thread: u32) {
  let s = scalars;
  let end = min((tile.x + 1) * 1024, s.quads);
  for (var i = tile.x * 1024 + thread; i < end; i += 64) {
    let g = grad[i];
    let m = s.beta1 * mean[i] + (1 - s.beta1) * g;
    let v = s.beta2 * square[i] + (1 - s.beta2) * g * g;
    mean[i] = m;
    square[i] = v;
    param[i] = param[i] - s.size * m / (sqrt(v) * s.root + s.eps);
  }
}`;

/** A step of Adam on tensors of one length, a multiple of 4: a dispatch each, in one pass and one submit; bind groups are made once. */
export class AdamByHand {
  readonly #device: GPUDevice;
  readonly #pipeline: GPUComputePipeline;
  readonly #groups: readonly GPUBindGroup[];
  readonly #scalars: GPUBuffer;
  readonly #buffers: readonly GPUBuffer[];
  readonly #length: number;
  #step = 0;

  constructor(device: GPUDevice, gradients: readonly GPUBuffer[]) {
    const length = (gradients[0]?.size ?? 0) / 4;
    this.#device = device;
    this.#length = length;
    this.#pipeline = device.createComputePipeline({
      label: "Adam by hand",
      layout: "auto",
      compute: { module: device.createShaderModule({ code }) },
    });
    const layout = this.#pipeline.getBindGroupLayout(0);
    const make = (size: number, usage: number): GPUBuffer =>
      device.createBuffer({ label: "by hand", size, usage });
    this.#scalars = make(32, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    const state = (): GPUBuffer => make(4 * length, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    const tensors = gradients.map((grad) => [state(), grad, state(), state()] as const);
    this.#buffers = tensors.flatMap(([param, , mean, square]) => [param, mean, square]);
    this.#groups = tensors.map((tensor) =>
      device.createBindGroup({
        layout,
        entries: [...tensor, this.#scalars].map((buffer, binding) => ({ binding, resource: { buffer } })),
      }),
    );
  }

  step(): void {
    this.#step += 1;
    const [lr, beta1, beta2, eps] = [1e-3, 0.9, 0.999, 1e-8];
    const words = new DataView(new ArrayBuffer(32));
    [lr / (1 - beta1 ** this.#step), 1 / Math.sqrt(1 - beta2 ** this.#step), beta1, beta2, eps].forEach(
      (value, index) => words.setFloat32(4 * index, value, true),
    );
    words.setUint32(20, this.#length / 4, true);
    this.#device.queue.writeBuffer(this.#scalars, 0, words.buffer);
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(this.#pipeline);
    for (const group of this.#groups) {
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(Math.ceil(this.#length / 4096));
    }
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  dispose(): void {
    for (const buffer of [...this.#buffers, this.#scalars]) buffer.destroy();
  }
}
