import type { Program, UniformSource } from "@mm/optim-core/backend";
import { functions } from "./functions.ts";
import { lanesInRow } from "./check.ts";
import { scalarCode, type ScalarCode, scalarFunctions } from "./scalars.ts";

/** Elements of the head of a record. */
export const headElements = {
  /** The factor of raw gradients, after `before`. */
  factor: 0,
  /** 1 where the step is taken, 0 where it is skipped. */
  taken: 1,
  gradNorm: 2,
  /** A power of two that gradients are multiplied by first, where the factor alone would be too small for float32. */
  before: 3,
  skipped: 4,
  failed: 5,
  scale: 6,
  growthTracker: 7,
} as const;

/** The questions of a decision. Each combination is a program of its own. */
export interface DecisionKind {
  /** `"folded"`: from the lanes of the check. `"given"`: by operations of tfjs. */
  readonly from: "nothing" | "folded" | "given";
  /** Which norm; absent when none is wanted. */
  readonly norm: "euclidean" | "largest" | undefined;
  readonly clips: boolean;
  /** Whether what is not finite skips the step. */
  readonly skips: boolean;
  readonly orThrow: boolean;
  /** Where the loss scale is: within the number that the host gives, in the last record, or in a tensor. */
  readonly lossScale: "host" | "state" | "tensor";
  /** Whether the loss scaler moves on in the same draw. */
  readonly advances: boolean;
}

/** The rows of a program: the step count, the scalar slots, then those uniforms that depend on the step. */
export interface RowLayout {
  readonly scalars: ScalarCode;
  /** The element of each uniform; absent where the host sets it. */
  readonly elements: readonly (number | undefined)[];
  readonly length: number;
}

export function rowLayout(program: Program): RowLayout {
  let next = 1 + program.scalarSlots.length;
  const isDynamic = (source: UniformSource): boolean =>
    source.from === "scalar" && program.scalars[source.register]?.dynamic === true;
  const elements = program.uniforms.map((source) => (isDynamic(source) ? next++ : undefined));
  return { scalars: scalarCode(program), elements, length: next };
}

/** The samplers of a decision, in order. */
export function decisionSamplers({ from, lossScale }: DecisionKind, withRow: boolean): string[] {
  return [
    ...(from === "folded"
      ? ["folded"]
      : from === "given"
        ? ["givenLargest", "givenRelative", "givenFinite"]
        : []),
    ...(withRow || lossScale === "state" ? ["state"] : []),
    ...(lossScale === "tensor" ? ["scale"] : []),
  ];
}

/**
 * Scale and count of clean steps after one more, of which `taken` tells whether it was; `scaler` is growth factor, backoff factor, growth
 * interval and smallest scale.
 */
export const nextScale = `
vec2 nextScale(vec2 before, float taken, vec4 scaler) {
  float clean = before.y + 1.0;
  bool full = clean >= scaler.z;
  float grown = before.x * scaler.x;
  if (!full || floatBitsToUint(grown) >= 0x7f800000u) grown = before.x;
  return taken == 1.0 ? vec2(grown, full ? 0.0 : clean) : vec2(max(before.x * scaler.y, scaler.w), 0.0);
}
`;

/**
 * The draw that decides a step: factor, clip coefficient, whether it is skipped, the loss scaler's next state, and the scalars of one
 * row, where the device counts steps. Everything goes into one texture, which the update reads.
 */
export function decisionSource(kind: DecisionKind, program: Program | undefined): string {
  const row = program && rowLayout(program);
  return `uniform vec4 given0;
uniform vec4 scaler;
uniform vec4 host[${Math.max(1, Math.ceil((row?.scalars.host.length ?? 0) / 4))}];
${decisionSamplers(kind, program !== undefined)
  .map((name) => `uniform planeSampler ${name};`)
  .join("\n")}
layout(location = 0) out planeTexel out0;
${functions}${scalarFunctions}${nextScale}
vec4 decided() {
  int x = int(gl_FragCoord.x);
  int y = int(gl_FragCoord.y);
${unscaling(kind)}
${reduction(kind)}
${clipping(kind)}
  if (y == 0) {
${headOutput(kind, program !== undefined)}
  }
${program === undefined || row === undefined ? "  return vec4(0.0);" : rowOutput(program, row)}
}
void main() {
  out0 = toPlane(decided());
}`;
}

function unscaling({ lossScale }: DecisionKind): string {
  if (lossScale === "host") return "  float unscale = given0.x;";
  const scale = lossScale === "state" ? "fetchPlane(state, ivec2(1, 0)).z" : "fetchPlane(scale, ivec2(0)).r";
  return `  float unscale = given0.x / ${scale};`;
}

/** Leaves `taken`, and the unscaled norm as `relative` × `unit`, a power of two: their product may overflow. */
function reduction({ from, norm, skips }: DecisionKind): string {
  if (from === "nothing") return "  float taken = 1.0;\n  float relative = 0.0;\n  float unit = 1.0;";
  if (from === "given") {
    return `  float taken = ${skips ? "fetchPlane(givenFinite, ivec2(0)).r > 0.5 ? 1.0 : 0.0" : "1.0"};
  float relative = fetchPlane(givenLargest, ivec2(0)).r * abs(unscale) * fetchPlane(givenRelative, ivec2(0)).r;
  float unit = 1.0;`;
  }
  return `  uint top = 0u;
  vec3 sum = vec3(0.0);
  for (int lane = 0; lane < ${lanesInRow}; lane += 1) {
    vec4 a = fetchPlane(folded, ivec2(lane, 0));
    top = max(top, floatBitsToUint(a.x));
    sum += a.yzw;
  }
  bool finite = top < 0x7f800000u;
  float taken = ${skips ? "finite ? 1.0 : 0.0" : "1.0"};
  float unit = ${norm === "euclidean" ? "!finite ? 1.0 : sum.x > 0.0 ? 1.8446744073709552e19 : sum.y > 0.0 ? 1.0 : 5.421010862427522e-20" : "1.0"};
  float root = ${
    norm === "euclidean"
      ? `!finite ? uintBitsToFloat(top)
    : sum.x > 0.0 ? sqrt(sum.x + sum.y * 2.938735877055719e-39)
    : sum.y > 0.0 ? sqrt(sum.y) : sqrt(sum.z)`
      : "uintBitsToFloat(top)"
  };
  float relative = root * abs(unscale);`;
}

/** Leaves `factor`, `before` and `gradNorm`. A large norm stays in two parts, so that the factor does not vanish. */
function clipping({ clips }: DecisionKind): string {
  if (!clips) return "  float gradNorm = relative * unit;\n  float factor = unscale;\n  float before = 1.0;";
  return `  float gradNorm = relative * unit;
  float before = 1.0;
  float coefficient = given0.y / (gradNorm + 1e-6);
  float factor = coefficient > 1.0 ? unscale : unscale * coefficient;
  if (unit > 1.0 && given0.y / relative < unit) {
    before = 5.421010862427522e-20;
    factor = unscale * (given0.y / relative);
  }`;
}

function headOutput({ skips, orThrow, advances }: DecisionKind, withState: boolean): string {
  if (!withState) return "    return x == 0 ? vec4(factor, taken, gradNorm, before) : vec4(0.0);";
  return `    vec4 old = fetchPlane(state, ivec2(1, 0));
    float skipped = old.x${skips ? " + 1.0 - taken" : ""};
    float failed = old.y${orThrow ? " + 1.0 - taken" : ""};
    vec2 next = ${advances ? "nextScale(old.zw, taken, scaler)" : "old.zw"};
    return x == 0 ? vec4(factor, taken, gradNorm, before) : vec4(skipped, failed, next);`;
}

function rowOutput(program: Program, { scalars, elements, length }: RowLayout): string {
  const slots = program.scalarSlots.length;
  const old = (element: number): string =>
    `fetchPlane(state, ivec2(${Math.floor(element / 4)}, y)).${"xyzw"[element % 4]}`;
  const values = [
    "taken == 1.0 ? count : before0",
    ...program.scalarOutputs.map(
      (output, slot) => `taken == 1.0 ? ${scalars.register(output)} : state${slot}`,
    ),
  ];
  for (const [uniform, element] of elements.entries()) {
    const source = program.uniforms[uniform] as Extract<UniformSource, { readonly from: "scalar" }>;
    if (element !== undefined) values[element] = scalars.register(source.register);
  }
  const texels = Array.from({ length: Math.ceil(length / 4) }, (_, texel) => {
    const four = [0, 1, 2, 3].map((channel) => `(${values[4 * texel + channel] ?? "0.0"})`);
    return `vec4(${four.join(", ")})`;
  });
  return `  float before0 = ${old(0)};
  float count = before0 + 1.0;
${Array.from({ length: slots }, (_, slot) => `  float state${slot} = ${old(slot + 1)};`).join("\n")}
${scalars.statements.map((statement) => `  ${statement}`).join("\n")}
${texels.map((texel, index) => (index === texels.length - 1 ? `  return ${texel};` : `  if (x == ${index}) return ${texel};`)).join("\n")}`;
}
