// optim update AdamW decays vec4

@group(0) @binding(0) var<storage, read_write> param: array<vec4f>;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> slot0: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> slot1: array<vec4f>;
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<uniform> range: vec4u;

fn sizeBits(x: vec4f) -> vec4u { return bitcast<vec4u>(x) & vec4u(0x7fffffffu); }

fn bits(x: vec4f) -> vec4u { return bitcast<vec4u>(x); }
fn isNan(x: vec4f) -> vec4<bool> { return sizeBits(x) > vec4u(0x7f800000u); }
fn least(a: vec4f, b: vec4f) -> vec4f {
  let tie = select(a, bitcast<vec4f>(bits(a) | bits(b)), a == b);
  return select(tie, b, (b < a) | isNan(b));
}
fn greatest(a: vec4f, b: vec4f) -> vec4f {
  let tie = select(a, bitcast<vec4f>(bits(a) & bits(b)), a == b);
  return select(tie, b, (a < b) | isNan(b));
}
fn signs(x: vec4f) -> vec4f {
  let one = bitcast<vec4f>((bits(x) & vec4u(0x80000000u)) | vec4u(0x3f800000u));
  return select(select(one, x, isNan(x)), vec4f(), sizeBits(x) == vec4u());
}

@compute @workgroup_size(64) fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32
) {
  let index = group.x + group.y * groups.x;
  if (index >= range.y) { return; }
  let tile = range.x + 4u * index;
  let record = table[tile + 0u];
  if (table[record + 7u] == 0u) { return; }
  let plane = table[tile + 1u] / 4u;
  let start = table[tile + 2u];
  let length = table[tile + 3u];
  let factorRest = bitcast<f32>(table[record + 8u]);
  let n1 = bitcast<f32>(table[record + 9u]);
  let n4 = bitcast<f32>(table[record + 10u]);
  let n6 = bitcast<f32>(table[record + 11u]);
  let n7 = bitcast<f32>(table[record + 12u]);
  let n10 = bitcast<f32>(table[record + 13u]);
  let n13 = bitcast<f32>(table[record + 14u]);
  let n16 = bitcast<f32>(table[record + 15u]);
  let n21 = bitcast<f32>(table[record + 16u]);
  let n23 = bitcast<f32>(table[record + 17u]);
  let vectors = length / 4u;
  for (var i = thread; i < vectors; i += 64u) {
    let at = plane + i;
    let element = start + 4u * i;
    let n0 = grad[at];
    let n2 = n0 * vec4f(n1) * factorRest;
    let n3 = param[element / 4u];
    let n5 = n3 * vec4f(n4);
    let n8 = slot0[at];
    let n9 = vec4f(n7) * n8;
    let n11 = vec4f(n10) * n2;
    let n12 = n9 + n11;
    let n14 = slot1[at];
    let n15 = vec4f(n13) * n14;
    let n17 = n2 * n2;
    let n18 = vec4f(n16) * n17;
    let n19 = n15 + n18;
    let n20 = sqrt(n19);
    let n22 = n20 * vec4f(n21);
    let n24 = n22 + vec4f(n23);
    let n25 = n12 / n24;
    let n26 = vec4f(n6) * n25;
    let n27 = n5 - n26;
    slot0[at] = n12;
    slot1[at] = n19;
    let next = n27;
    param[element / 4u] = next;
  }
  let rest = length % 4u;
  if (thread != 0u || rest == 0u) { return; }
  let at = plane + vectors;
  let element = start + 4u * vectors;
  let own = vec4u(0, 1, 2, 3) < vec4u(rest);
  let n0 = grad[at];
  let n2 = n0 * vec4f(n1) * factorRest;
  let n3 = param[element / 4u];
  let n5 = n3 * vec4f(n4);
  let n8 = slot0[at];
  let n9 = vec4f(n7) * n8;
  let n11 = vec4f(n10) * n2;
  let n12 = n9 + n11;
  let n14 = slot1[at];
  let n15 = vec4f(n13) * n14;
  let n17 = n2 * n2;
  let n18 = vec4f(n16) * n17;
  let n19 = n15 + n18;
  let n20 = sqrt(n19);
  let n22 = n20 * vec4f(n21);
  let n24 = n22 + vec4f(n23);
  let n25 = n12 / n24;
  let n26 = vec4f(n6) * n25;
  let n27 = n5 - n26;
  slot0[at] = select(vec4f(), n12, own);
  slot1[at] = select(vec4f(), n19, own);
  let next = n27;
  param[element / 4u] = select(vec4f(), next, own);
}
