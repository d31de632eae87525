// The network's mathematics, forwards and backwards, for a number of points at once. Data of points lie feature by feature, four
// points to a vec4f ("quad"): `[features, quads]`. Weights are `[inputs, outputs]`. Sizes are pipeline constants, so that one text serves
// layers of any size. A thread computes one element of what its kernel writes.

interface KernelText {
  readonly label: string;
  readonly code: string;
}

/**
 * Fourier features (Tancik et al., arXiv:2006.10739): the sine and the cosine of 2π f·p for each frequency f, without which so small a
 * network sees no edges. Points [x y, quads], features [2 × frequencies, quads].
 */
export const encode: KernelText = {
  label: "encode",
  code: /* wgsl */ `
override quads: u32;
override frequencyCount: u32;
@group(0) @binding(0) var<storage, read> frequencies: array<vec2f>;
@group(0) @binding(1) var<storage, read> points: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> features: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let frequency = id.x / quads;
  let quad = id.x % quads;
  if (frequency >= frequencyCount) { return; }
  let f = 6.283185307 * frequencies[frequency];
  let phase = f.x * points[quad] + f.y * points[quads + quad];
  features[id.x] = sin(phase);
  features[frequencyCount * quads + id.x] = cos(phase);
}`,
};

/** y = W x + b, and in all layers but the last max(0, ·) of it. x [inputs, quads], b [outputs], y [outputs, quads]. */
export const dense: KernelText = {
  label: "dense",
  code: /* wgsl */ `
override quads: u32;
override inputs: u32;
override outputs: u32;
override rectified: bool;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let output = id.x / quads;
  let quad = id.x % quads;
  if (output >= outputs) { return; }
  var sum = vec4f(bias[output]);
  for (var input = 0u; input < inputs; input++) { sum += weight[input * outputs + output] * x[input * quads + quad]; }
  y[id.x] = select(sum, max(sum, vec4f()), rectified);
}`,
};

/**
 * The loss is the mean of (y − wanted)² over all elements; its gradient, where the backward pass begins, is 2 (y − wanted) ÷ elements.
 * Times `scale`, which the optimizer hands in: its share of the window and its loss scale.
 */
export const lossGradient: KernelText = {
  label: "lossGradient",
  code: /* wgsl */ `
override elements: u32;
@group(0) @binding(0) var<storage, read> y: array<vec4f>;
@group(0) @binding(1) var<storage, read> wanted: array<vec4f>;
@group(0) @binding(2) var<storage, read> scale: f32;
@group(0) @binding(3) var<storage, read_write> yGradient: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= elements / 4) { return; }
  yGradient[id.x] = scale * 2 / f32(elements) * (y[id.x] - wanted[id.x]);
}`,
};

/**
 * dW = x dyᵀ and db = the sum of dy over points: the bias is one more row of W, whose input is always 1. They are written, not added: what
 * a window adds up to is the optimizer's work.
 */
export const weightGradient: KernelText = {
  label: "weightGradient",
  code: /* wgsl */ `
override quads: u32;
override inputs: u32;
override outputs: u32;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> yGradient: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> weightGradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> biasGradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let input = id.x / outputs;
  let output = id.x % outputs;
  var sum = vec4f();
  if (input < inputs) {
    for (var quad = 0u; quad < quads; quad++) { sum += x[input * quads + quad] * yGradient[output * quads + quad]; }
    weightGradient[id.x] = dot(sum, vec4f(1));
  } else if (input == inputs) {
    for (var quad = 0u; quad < quads; quad++) { sum += yGradient[output * quads + quad]; }
    biasGradient[output] = dot(sum, vec4f(1));
  }
}`,
};

/** dx = Wᵀ dy where x, which the layer before made by max(0, ·), is above 0, else 0. */
export const inputGradient: KernelText = {
  label: "inputGradient",
  code: /* wgsl */ `
override quads: u32;
override inputs: u32;
override outputs: u32;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> yGradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> xGradient: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let input = id.x / quads;
  let quad = id.x % quads;
  if (input >= inputs) { return; }
  var sum = vec4f();
  for (var output = 0u; output < outputs; output++) {
    sum += weight[input * outputs + output] * yGradient[output * quads + quad];
  }
  xGradient[id.x] = select(vec4f(), sum, x[id.x] > vec4f());
}`,
};
