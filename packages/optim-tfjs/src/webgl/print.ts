import type { ElementNode, Program } from "@mm/optim-core/backend";
import { functions, literal } from "./functions.ts";
import { type Layout, reader } from "./layout.ts";

/** The inputs of an update in the order of its samplers: parameter, gradient, slots. */
export function samplersOf({ slots }: Pick<Program, "slots">): string[] {
  return ["param", "grad", ...slots.map((_, slot) => `slot${slot}`)];
}

/** Where an update finds a uniform: among those that the host sets, or in the record that the decision wrote. */
export type UniformPlace =
  | { readonly on: "host"; readonly index: number }
  /** Element of the record's row, counted from 0; `"factor"`: of its head. */
  | { readonly on: "record"; readonly element: number | "factor" };

export interface UpdateSource {
  readonly program: Program;
  /** Of parameter, gradient and slots. */
  readonly layouts: readonly Layout[];
  readonly uniforms: readonly UniformPlace[];
  /** The outputs that this draw writes: 0 is the parameter, then slots, then the master. */
  readonly outputs: readonly number[];
  /** A step that the decision skips writes what was there. */
  readonly mayskip: boolean;
}

/** The fragment shader of one draw of an update, 2 × 2 elements a texel. */
export function updateSource({ program, layouts, uniforms, outputs, mayskip }: UpdateSource): string {
  const samplers = samplersOf(program);
  const hostCount = Math.max(1, uniforms.filter(({ on }) => on === "host").length);
  const recorded = mayskip || uniforms.some(({ on }) => on === "record");
  const nodes = program.outputs;
  const isSlot = (output: number): boolean => output > 0 && output <= nodes.slots.length;
  const before = (output: number): string => (isSlot(output) ? `slot${output - 1}` : "param");
  return `uniform ivec3 shape;
uniform vec4 host[${Math.ceil(hostCount / 4)}];
${recorded ? "uniform planeSampler record;\nuniform int row;" : ""}
${outputs.map((output, index) => `layout(location = ${index}) out ${output === 0 ? "vec4" : "planeTexel"} out${index};`).join("\n")}
${samplers.map((name, index) => reader(name, layouts[index] as Layout)).join("\n")}
${functions}
void main() {
  int t = int(gl_FragCoord.y) * shape.z + int(gl_FragCoord.x);
${recorded ? "  vec4 head = fetchPlane(record, ivec2(0, 0));" : ""}
${samplers.map((name) => `  vec4 ${name}_in = ${name}_at(t)${name === "grad" && recorded ? " * head.w" : ""};`).join("\n")}
${uniforms.map((place, index) => `  float u${index} = ${placed(place)};`).join("\n")}
${program.nodes.map((node, index) => `  ${statement(program, node, index)}`).join("\n")}
${outputs
  .map((output, index) => {
    const node = isSlot(output) ? (nodes.slots[output - 1] as number) : nodes.param;
    const next = asVector(program, node);
    const value = mayskip ? `head.y == 0.0 ? ${before(output)}_in : ${next}` : next;
    return `  out${index} = ${output === 0 ? value : `toPlane(${value})`};`;
  })
  .join("\n")}
}`;
}

const channel = (element: number): string => "xyzw"[element % 4] as string;

function placed(place: UniformPlace): string {
  if (place.on === "host") return `host[${Math.floor(place.index / 4)}].${channel(place.index)}`;
  if (place.element === "factor") return "head.x";
  return `fetchPlane(record, ivec2(${Math.floor(place.element / 4)}, row)).${channel(place.element)}`;
}

const isCondition = ({ op }: ElementNode): boolean => op === "gt" || op === "lt" || op === "eq";

function statement(program: Program, node: ElementNode, index: number): string {
  if (isCondition(node)) return `bvec4 n${index} = ${expression(program, node)};`;
  return `${program.axes[index] === 3 ? "vec4" : "float"} n${index} = ${expression(program, node)};`;
}

/** A node as a vector: what is the same for the whole tensor is a float. */
function asVector({ axes }: Program, node: number): string {
  return axes[node] === 3 ? `n${node}` : `vec4(n${node})`;
}

function expression(program: Program, node: ElementNode): string {
  const vector = (operand: number): string => asVector(program, operand);
  switch (node.op) {
    case "param":
      return "param_in";
    case "grad":
      return "grad_in";
    case "slot":
      return `slot${node.slot}_in`;
    case "uniform":
      return `u${node.uniform}`;
    case "const":
      return literal(node.value);
    case "reduced":
    case "matrix":
      throw new Error(`${node.op} runs by operations of tfjs`);
    default:
  }
  const index = program.nodes.indexOf(node);
  const call = operation(program, node, vector);
  // One float of four equal ones.
  return program.axes[index] === 3 || isCondition(node) ? call : `(${call}).x`;
}

function operation(
  { axes }: Program,
  node: Exclude<
    ElementNode,
    { readonly op: "param" | "grad" | "slot" | "reduced" | "matrix" | "uniform" | "const" }
  >,
  vector: (operand: number) => string,
): string {
  const a = vector(node.a);
  switch (node.op) {
    case "neg":
      return `negative(${a})`;
    case "abs":
      return `size(${a})`;
    case "sign":
      return `signOf(${a})`;
    case "sqrt":
      return `sqrt(${a})`;
    case "select":
      return `mix(${vector(node.b)}, ${a}, n${node.condition})`;
    default:
  }
  const b = vector(node.b);
  const bounded = axes[node.b] !== 3;
  switch (node.op) {
    case "add":
      return `${a} + ${b}`;
    case "sub":
      return `${a} - ${b}`;
    case "mul":
      return `${a} * ${b}`;
    case "div":
      return `${a} / ${b}`;
    case "min":
      return `${bounded ? "atMost" : "smaller"}(${a}, ${b})`;
    case "max":
      return `${bounded ? "atLeast" : "larger"}(${a}, ${b})`;
    case "gt":
      return `above(${a}, ${b})`;
    case "lt":
      return `above(${b}, ${a})`;
    default:
      return `same(${a}, ${b})`;
  }
}
