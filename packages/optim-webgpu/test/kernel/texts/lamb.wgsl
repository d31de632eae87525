// optim reduce LAMB adapts alwaysAdapt biasCorrected decays gradAveraging vec4

@group(0) @binding(0) var<storage, read> param: array<vec4f>;
@group(0) @binding(1) var<storage, read> grad: array<vec4f>;
@group(0) @binding(2) var<storage, read> slot0: array<vec4f>;
@group(0) @binding(3) var<storage, read> slot1: array<vec4f>;
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<uniform> range: vec4u;
@group(0) @binding(6) var<storage, read_write> normPartials: array<vec4u>;

fn sizeBits(x: vec4f) -> vec4u { return bitcast<vec4u>(x) & vec4u(0x7fffffffu); }

fn isFinite(size: u32) -> bool { return size < 0x7f800000u; }
fn isNormal(size: u32) -> bool { return size >= 0x00800000u && isFinite(size); }
fn isUsable(sum: f32) -> bool { return sum > 8.271806125530277e-25f && isFinite(bitcast<u32>(sum)); }

fn largestOf(x: vec4u) -> u32 { return max(max(x.x, x.y), max(x.z, x.w)); }
fn sumOf(x: vec4f) -> f32 { return (x.x + x.y) + (x.z + x.w); }

// A power of two near a size, with a reciprocal that is no subnormal number.
fn scaleOf(size: u32) -> f32 { return bitcast<f32>(min(size & 0x7f800000u, 0x7e800000u)); }
fn inverseOf(scale: f32) -> f32 { return bitcast<f32>(0x7f000000u - bitcast<u32>(scale)); }

fn partialOf(size: u32, scale: f32, sum: f32) -> vec4u {
  return vec4u(size, bitcast<u32>(scale), bitcast<u32>(select(0f, sum, isNormal(size))), 0u);
}

// The sum of squares of a partial, in units of a scale.
fn squaresOf(part: vec4u, inverse: f32) -> f32 {
  let sum = bitcast<f32>(part.z);
  if (sum == 0f) { return 0f; }
  let ratio = bitcast<f32>(part.y) * inverse;
  return sum * ratio * ratio;
}

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

var<workgroup> found: array<vec4u, 128>;

fn sizeIn(begin: u32) -> u32 {
  var size = 0u;
  for (var i = 0u; i < 64u; i++) { size = max(size, found[begin + i].x); }
  return size;
}

fn squaresIn(begin: u32) -> vec4u {
  let size = sizeIn(begin);
  let scale = scaleOf(size);
  var sum = 0f;
  for (var i = 0u; i < 64u; i++) { sum += squaresOf(found[begin + i], inverseOf(scale)); }
  return partialOf(size, scale, sum);
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
  let n7 = bitcast<f32>(table[record + 11u]);
  let n10 = bitcast<f32>(table[record + 12u]);
  let n12 = bitcast<f32>(table[record + 13u]);
  let n15 = bitcast<f32>(table[record + 14u]);
  let n20 = bitcast<f32>(table[record + 15u]);
  let n22 = bitcast<f32>(table[record + 16u]);
  let n25 = bitcast<f32>(table[record + 17u]);
  var largest0 = vec4u(); var sum0 = vec4f(); var scale0 = 1f;
  var largest1 = vec4u(); var sum1 = vec4f(); var scale1 = 1f;
  for (var again = true; again;) {
    for (var i = thread; 4u * i < length; i += 64u) {
      let at = plane + i;
      let element = start + 4u * i;
      let own = vec4u(0, 1, 2, 3) < vec4u(length - 4u * i);
      let n0 = grad[at];
      let n2 = n0 * vec4f(n1) * factorRest;
      let n3 = param[element / 4u];
      let n5 = slot0[at];
      let n6 = vec4f(n4) * n5;
      let n8 = vec4f(n7) * n2;
      let n9 = n6 + n8;
      let n11 = n9 * vec4f(n10);
      let n13 = slot1[at];
      let n14 = vec4f(n12) * n13;
      let n16 = n2 * n2;
      let n17 = vec4f(n15) * n16;
      let n18 = n14 + n17;
      let n19 = sqrt(n18);
      let n21 = n19 * vec4f(n20);
      let n23 = n21 + vec4f(n22);
      let n24 = n11 / n23;
      let n26 = vec4f(n25) * n3;
      let n27 = n24 + n26;
      let x0 = select(vec4f(), n3, own);
      largest0 = max(largest0, sizeBits(x0));
      let y0 = x0 * inverseOf(scale0);
      sum0 += y0 * y0;
      let x1 = select(vec4f(), n27, own);
      largest1 = max(largest1, sizeBits(x1));
      let y1 = x1 * inverseOf(scale1);
      sum1 += y1 * y1;
    }
    again = false;
    if (scale0 == 1f && isNormal(largestOf(largest0)) && !isUsable(sumOf(sum0))) {
      scale0 = scaleOf(largestOf(largest0));
      again = true;
    }
    if (scale1 == 1f && isNormal(largestOf(largest1)) && !isUsable(sumOf(sum1))) {
      scale1 = scaleOf(largestOf(largest1));
      again = true;
    }
    if (again) { sum0 = vec4f(); sum1 = vec4f(); }
  }
  found[0u + thread] = partialOf(largestOf(largest0), scale0, sumOf(sum0));
  found[64u + thread] = partialOf(largestOf(largest1), scale1, sumOf(sum1));
  workgroupBarrier();
  let first = (range.z + index) * table[24u];
  if (thread == 0u) { normPartials[first + 0u] = squaresIn(0u); }
  if (thread == 1u) { normPartials[first + 1u] = squaresIn(64u); }
}


// optim prepare norms

@group(0) @binding(0) var<storage, read_write> table: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
@group(0) @binding(2) var<storage, read> normPartials: array<vec4u>;
@group(0) @binding(3) var<uniform> range: vec4u;

fn sizeBits(x: vec4f) -> vec4u { return bitcast<vec4u>(x) & vec4u(0x7fffffffu); }

fn isFinite(size: u32) -> bool { return size < 0x7f800000u; }
fn isNormal(size: u32) -> bool { return size >= 0x00800000u && isFinite(size); }
fn isUsable(sum: f32) -> bool { return sum > 8.271806125530277e-25f && isFinite(bitcast<u32>(sum)); }

fn largestOf(x: vec4u) -> u32 { return max(max(x.x, x.y), max(x.z, x.w)); }
fn sumOf(x: vec4f) -> f32 { return (x.x + x.y) + (x.z + x.w); }

// A power of two near a size, with a reciprocal that is no subnormal number.
fn scaleOf(size: u32) -> f32 { return bitcast<f32>(min(size & 0x7f800000u, 0x7e800000u)); }
fn inverseOf(scale: f32) -> f32 { return bitcast<f32>(0x7f000000u - bitcast<u32>(scale)); }

fn partialOf(size: u32, scale: f32, sum: f32) -> vec4u {
  return vec4u(size, bitcast<u32>(scale), bitcast<u32>(select(0f, sum, isNormal(size))), 0u);
}

// The sum of squares of a partial, in units of a scale.
fn squaresOf(part: vec4u, inverse: f32) -> f32 {
  let sum = bitcast<f32>(part.z);
  if (sum == 0f) { return 0f; }
  let ratio = bitcast<f32>(part.y) * inverse;
  return sum * ratio * ratio;
}

var<private> zero: u32;
fn o(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ zero); }
fn number(x: f32) -> vec2f { return vec2f(x, 0f); }
fn sizeOf(x: f32) -> u32 { return bitcast<u32>(x) & 0x7fffffffu; }
fn isNan(x: vec2f) -> bool { return sizeOf(x.x) > 0x7f800000u; }
fn infinity() -> f32 { return bitcast<f32>(0x7f800000u ^ zero); }
fn nan() -> f32 { return bitcast<f32>(0x7fc00000u ^ zero); }
// The nearest that a float32 has, and no subnormal one.
fn powerOfTwo(exponent: i32) -> f32 { return bitcast<f32>(u32(clamp(exponent, -126, 127) + 127) << 23u); }

// The sum of two floats, exactly.
fn exactSum(a: f32, b: f32) -> vec2f {
  let sum = o(a + b);
  let part = o(sum - a);
  return vec2f(sum, o(o(a - o(sum - part)) + o(b - part)));
}

// Their product, exactly: of halves of 12 bits each.
fn exactProduct(a: f32, b: f32) -> vec2f {
  let product = o(a * b);
  let a1 = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
  let b1 = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
  let a2 = o(a - a1);
  let b2 = o(b - b1);
  return vec2f(product, o(o(o(o(o(a1 * b1) - product) + o(a1 * b2)) + o(a2 * b1)) + o(a2 * b2)));
}

// As a pair whose second does not overlap the first, and is 0 where that is not finite.
fn tidy(high: f32, low: f32) -> vec2f { return select(number(high), exactSum(high, low), sizeOf(high) < 0x7f800000u); }

fn add(a: vec2f, b: vec2f) -> vec2f {
  let high = exactSum(a.x, b.x);
  let low = exactSum(a.y, b.y);
  let sum = tidy(high.x, o(high.y + low.x));
  return tidy(sum.x, o(sum.y + low.y));
}

fn mul(a: vec2f, b: vec2f) -> vec2f {
  let high = exactProduct(a.x, b.x);
  return tidy(high.x, o(high.y + o(o(a.x * b.y) + o(a.y * b.x))));
}

fn div(a: vec2f, b: vec2f) -> vec2f {
  var quotient = number(o(a.x / b.x));
  if (sizeOf(quotient.x) >= 0x7f800000u || sizeOf(b.x) >= 0x7f800000u) { return quotient; }
  for (var i = 0; i < 2; i++) {
    quotient = add(quotient, number(o(add(a, -mul(quotient, b)).x / b.x)));
  }
  return quotient;
}

fn root(a: vec2f) -> vec2f {
  if (sizeOf(a.x) == 0u || isNan(a)) { return a; }
  if (a.x < 0f) { return number(nan()); }
  if (sizeOf(a.x) == 0x7f800000u) { return a; }
  var value = number(o(sqrt(a.x)));
  for (var i = 0; i < 2; i++) {
    value = add(value, number(o(add(a, -mul(value, value)).x / (2f * value.x))));
  }
  return value;
}

// e^x - 1
fn expm1(x: vec2f) -> vec2f {
  if (isNan(x)) { return x; }
  if (x.x < -87f) { return number(-1f); }
  if (x.x > 88f) { return number(infinity()); }
  let k = round(x.x * (1.4426950216293335f));
  let r = add(x, mul(number(-k), vec2f((0.6931471824645996f), (-1.9046542121259336e-9f)))) * 0.0625f;
  let rest = r.x * r.x * r.x * r.x * ((0.0416666679084301f) + r.x * ((0.008333333767950535f) + r.x * (0.0013888889225199819f)));
  var e = add(r, add(mul(mul(r, r), add(number(0.5f), mul(r, vec2f((0.1666666716337204f), (-4.967053879312289e-9f))))), number(rest)));
  for (var i = 0; i < 4; i++) { e = mul(e, add(e, number(2f))); }
  let power = bitcast<f32>(u32(i32(k) + 127) << 23u);
  return add(e * power, exactSum(power, -1f));
}

// A first logarithm, of float32.
fn logGuess(x: f32) -> f32 {
  if (x < 0f) { return nan(); }
  if (x == 0f) { return -infinity(); }
  return select(log(x), x, sizeOf(x) >= 0x7f800000u);
}

// base^exponent, where |base|^exponent is known.
fn power(base: vec2f, exponent: vec2f, size: vec2f) -> vec2f {
  if (exponent.x == 0f) { return number(1f); }
  if (base.x >= 0f || isNan(base)) { return size; }
  if (exponent.x != round(exponent.x)) { return number(nan()); }
  return select(size, -size, exponent.x - 2f * floor(exponent.x * 0.5f) == 1f);
}

fn isAbove(a: vec2f, b: vec2f) -> bool { return a.x > b.x || (a.x == b.x && a.y > b.y); }
fn signOf(x: vec2f) -> vec2f { return select(select(number(select(1f, -1f, x.x < 0f)), x, isNan(x)), number(0f), x.x == 0f); }

var<private> registers: array<vec2f, 64>;
// Word of the table where sums over tensors are.
var<private> totals: u32;

fn float(word: u32) -> f32 { return bitcast<f32>(table[word]); }
fn pairAt(word: u32) -> vec2f { return vec2f(float(word), float(word + 1u)); }

fn compute(op: u32, place: u32, step: u32, block: u32, a: vec2f, b: vec2f, c: vec2f) -> vec2f {
  switch (op) {
    case 0u: { return exactSum(f32(step & 0xff000000u), f32(step & 0xffffffu)); } // step
    case 1u: { return vec2f(bitcast<f32>(state[block + place]), bitcast<f32>(state[block + place + 1u])); } // scalarSlot
    case 3u: { return add(a, b); } // add
    case 4u: { return add(a, -b); } // sub
    case 5u: { return mul(a, b); } // mul
    case 6u: { return div(a, b); } // div
    case 7u: { return root(a); } // sqrt
    case 8u: { return expm1(a); } // expm1
    case 9u: { return number(logGuess(a.x)); } // logGuess
    case 10u: { return select(b, a, sizeOf(a.x) >= 0x7f800000u); } // keep
    case 11u: { return power(a, b, c); } // power
    case 12u: { return -a; } // neg
    case 13u: { return select(a, -a, a.x < 0f); } // abs
    case 14u: { return signOf(a); } // sign
    case 15u: { return select(a, b, isAbove(a, b) || isNan(b)); } // min
    case 16u: { return select(a, b, isAbove(b, a) || isNan(b)); } // max
    case 17u: { return number(f32(isAbove(a, b))); } // gt
    case 18u: { return number(f32(a.x == b.x && a.y == b.y)); } // eq
    case 19u: { return select(b, a, c.x == 1f); } // select
    case 20u: { return pairAt(totals + 2u * place); } // total
    default: { return a; }
  }
}

var<private> norms: array<vec2f, 2>;
var<private> normLevels: array<i32, 2>;
var<private> levels: array<i32, 64>;

// A register as if it had this level. At a higher one it may vanish, at a lower one be infinite.
fn atLevel(i: u32, level: i32) -> vec2f {
  let root = powerOfTwo(56 * (levels[i] - level));
  return registers[i] * root * root;
}

fn computeWide(i: u32, op: u32, place: u32, step: u32, block: u32, b: u32, c: u32) {
  var level = max(levels[place], levels[b]);
  if (op >= 8u && op <= 11u) { level = 0; }
  let a = atLevel(place, level);
  var value = compute(op, place, step, block, a, atLevel(b, level), registers[c]);
  switch (op) {
    case 2u: {
      value = norms[place];
      level = normLevels[place];
    }
    case 5u: {
      value = mul(registers[place], registers[b]);
      level = levels[place] + levels[b];
    }
    case 6u: {
      value = div(registers[place], registers[b]);
      level = levels[place] - levels[b];
    }
    case 7u: {
      value *= powerOfTwo(56 * (level & 1));
      level = level >> 1u;
    }
    case 15u, 16u, 19u: {
      // The operand itself, which may have vanished at the other's level.
      let chosen = select(b, place, all(bitcast<vec2u>(value) == bitcast<vec2u>(a)));
      value = registers[chosen];
      level = levels[chosen];
    }
    case 0u, 1u, 20u, 14u, 17u, 18u: { level = 0; }
    default: {}
  }
  registers[i] = value;
  levels[i] = level;
  let size = sizeOf(value.x);
  let exponent = i32(size >> 23u) + 112 * level;
  if (size == 0u || size >= 0x7f800000u || (exponent > 0 && exponent < 255)) {
    registers[i] = atLevel(i, 0);
    levels[i] = 0;
  }
}

// Leaves every value of a program in its register, and gives the word behind the instructions.
fn execute(record: u32, step: u32) -> u32 {
  let code = table[record + 2u];
  let statics = table[record + 3u];
  let block = table[record + 4u];
  totals = table[code + 6u];
  let first = table[code + 0u];
  for (var i = 0u; i < first; i++) { registers[i] = pairAt(statics + 2u * i); }
  var word = code + 10u;
  let last = first + table[code + 1u];
  for (var i = first; i < last; i++) {
    let op = table[word] & 0xffffu;
    let a = table[word] >> 16u;
    let b = table[word + 1u] & 0xffffu;
    let c = table[word + 1u] >> 16u;
    computeWide(i, op, a, step, block, b, c);
    word += 2u;
  }
  for (var i = first; i < last; i++) { registers[i] = atLevel(i, 0); }
  return word;
}

// Writes the uniforms that stand at a word of the code, and gives the word behind them.
fn writeUniforms(record: u32, at: u32, factor: f32) -> u32 {
  let count = table[table[record + 2u] + 2u];
  for (var i = 0u; i < count; i++) {
    let source = table[at + i];
    var value = factor;
    if (source == 65534u) {
      value = float(12u);
    } else if (source != 65535u) {
      value = registers[source].x;
    }
    table[record + 9u + i] = bitcast<u32>(value);
  }
  return at + count;
}

// Takes over the scalar slots that stand at a word of the code.
fn writeSlots(record: u32, at: u32) {
  let block = table[record + 4u];
  let end = at + table[table[record + 2u] + 3u];
  for (var word = at; word < end; word++) {
    let value = registers[table[word] & 0xffffu];
    let slot = block + (table[word] >> 16u);
    state[slot] = bitcast<u32>(value.x);
    state[slot + 1u] = bitcast<u32>(value.y);
  }
}

// Leaves in a record what it adds to sums over tensors, which stand behind the kinds of reductions in the code.
fn writeTerms(record: u32) {
  let code = table[record + 2u];
  let count = table[code + 7u];
  let sources = table[code + 9u];
  let at = record + table[code + 8u];
  for (var i = 0u; i < count; i++) {
    let value = registers[table[code + sources + i]];
    table[at + 2u * i] = bitcast<u32>(value.x);
    table[at + 2u * i + 1u] = bitcast<u32>(value.y);
  }
}

// Computes the uniforms of a record; and where it counts, its next step count and scalar slots.
fn evaluate(record: u32, factor: f32, counts: bool) {
  let block = table[record + 4u];
  let step = state[block] + 1u;
  let slots = writeUniforms(record, execute(record, step), factor);
  writeTerms(record);
  if (!counts) { return; }
  state[block] = step;
  writeSlots(record, slots);
}

var<workgroup> sizes: array<u32, 64>;
var<workgroup> sums: array<f32, 64>;

fn take(thread: u32, record: u32, code: u32, k: u32) {
  let stride = table[24u];
  let first = table[record + 5u];
  let end = first + table[record + 6u];
  let kind = table[code + table[code + 5u] + k];
  var size = 0u;
  for (var i = first + thread; i < end; i += 64u) { size = max(size, normPartials[i * stride + k].x); }
  sizes[thread] = size;
  workgroupBarrier();
  for (var i = 0u; i < 64u; i++) { size = max(size, sizes[i]); }

  let scale = scaleOf(size);
  let inverse = inverseOf(scale);
  var sum = 0f;
  for (var i = first + thread; i < end; i += 64u) {
    let part = normPartials[i * stride + k];
    sum += squaresOf(part, inverse);
  }
  sums[thread] = sum;
  workgroupBarrier();
  sum = 0f;
  for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
  if (kind == 0u) { keepNorm(k, size, scale, sum); }
  if (kind == 2u) { keep(k, number(bitcast<f32>(size)), 0); }
}

fn keep(k: u32, value: vec2f, level: i32) {
  norms[k] = value;
  normLevels[k] = level;
}

fn keepNorm(k: u32, size: u32, scale: f32, sum: f32) {
  let length = root(number(sum));
  // Not finite, ordinary, or beyond float32.
  let isWide = isFinite(size) && (sizeOf(length.x) >> 23u) + (bitcast<u32>(scale) >> 23u) > 381u;
  let ordinary = select(number(bitcast<f32>(size)), length * scale, isFinite(size));
  keep(k, select(ordinary, length * (scale * powerOfTwo(-112)), isWide), i32(isWide));
}

@compute @workgroup_size(64) fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32
) {
  zero = table[25u];
  let index = group.x + group.y * groups.x;
  let count = table[2u];
  let record = table[0u] + min(index, count - 1u) * table[1u];
  let code = table[record + 2u];
  for (var k = 0u; k < 2u; k++) { take(thread, record, code, k); }
  if (thread != 0u || index >= count || table[record + 7u] == 0u || code == 0u) { return; }
  let last = table[code + 4u];
  if (range.z > last) { return; }
  evaluate(record, float(record + 9u), range.z == last);
}


// optim update LAMB adapts alwaysAdapt biasCorrected decays gradAveraging vec4

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
  let n7 = bitcast<f32>(table[record + 11u]);
  let n10 = bitcast<f32>(table[record + 12u]);
  let n12 = bitcast<f32>(table[record + 13u]);
  let n15 = bitcast<f32>(table[record + 14u]);
  let n20 = bitcast<f32>(table[record + 15u]);
  let n22 = bitcast<f32>(table[record + 16u]);
  let n25 = bitcast<f32>(table[record + 17u]);
  let n28 = bitcast<f32>(table[record + 18u]);
  let vectors = length / 4u;
  for (var i = thread; i < vectors; i += 64u) {
    let at = plane + i;
    let element = start + 4u * i;
    let n0 = grad[at];
    let n2 = n0 * vec4f(n1) * factorRest;
    let n3 = param[element / 4u];
    let n5 = slot0[at];
    let n6 = vec4f(n4) * n5;
    let n8 = vec4f(n7) * n2;
    let n9 = n6 + n8;
    let n11 = n9 * vec4f(n10);
    let n13 = slot1[at];
    let n14 = vec4f(n12) * n13;
    let n16 = n2 * n2;
    let n17 = vec4f(n15) * n16;
    let n18 = n14 + n17;
    let n19 = sqrt(n18);
    let n21 = n19 * vec4f(n20);
    let n23 = n21 + vec4f(n22);
    let n24 = n11 / n23;
    let n26 = vec4f(n25) * n3;
    let n27 = n24 + n26;
    let n29 = vec4f(n28) * n27;
    let n30 = n3 - n29;
    slot0[at] = n9;
    slot1[at] = n18;
    let next = n30;
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
  let n5 = slot0[at];
  let n6 = vec4f(n4) * n5;
  let n8 = vec4f(n7) * n2;
  let n9 = n6 + n8;
  let n11 = n9 * vec4f(n10);
  let n13 = slot1[at];
  let n14 = vec4f(n12) * n13;
  let n16 = n2 * n2;
  let n17 = vec4f(n15) * n16;
  let n18 = n14 + n17;
  let n19 = sqrt(n18);
  let n21 = n19 * vec4f(n20);
  let n23 = n21 + vec4f(n22);
  let n24 = n11 / n23;
  let n26 = vec4f(n25) * n3;
  let n27 = n24 + n26;
  let n29 = vec4f(n28) * n27;
  let n30 = n3 - n29;
  slot0[at] = select(vec4f(), n9, own);
  slot1[at] = select(vec4f(), n18, own);
  let next = n30;
  param[element / 4u] = select(vec4f(), next, own);
}
