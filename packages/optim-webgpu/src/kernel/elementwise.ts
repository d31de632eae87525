import { type ElementNode, neededNodes, type Program } from "@mm/optim-core/backend";
import { record } from "./layout.ts";
import { literal } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/** The elementwise part of a program as WGSL: node i is the variable `ni`, a `vec4f` (or `vec4<bool>`) where it varies, else an `f32`. */
interface PrintedNodes {
  /** Nodes that are the same for the whole tensor. Expects `record`, the word of the record in `table`. */
  readonly scalars: string;
  /** Nodes of four elements. */
  readonly vectors: string;
}

/**
 * @param wanted nodes that are needed; what they depend on is printed too
 * @param load the expression of a leaf that varies
 */
export function printNodes(
  { nodes, axes, uniforms }: Program,
  wanted: readonly number[],
  load: (node: ElementNode) => string,
): PrintedNodes {
  const varies = (index: number): boolean => axes[index] !== 0;
  const vector = (index: number): string => (varies(index) ? `n${index}` : `vec4f(n${index})`);
  const isFactor = (index: number): boolean => {
    const node = nodes[index] as ElementNode;
    return node.op === "uniform" && uniforms[node.uniform]?.from === "gradFactor";
  };
  const print = (node: ElementNode, isVector: boolean): string => {
    const value = isVector ? vector : (index: number): string => `n${index}`;
    switch (node.op) {
      case "param":
      case "grad":
      case "slot":
      case "matrix":
      case "reduced":
        return load(node);
      case "uniform":
        return `bitcast<f32>(table[record + ${record.uniforms + node.uniform}u])`;
      case "const":
        return literal(node.value);
      case "neg":
        return `-n${node.a}`;
      case "sqrt":
      case "abs":
        return `${node.op}(n${node.a})`;
      case "sign":
        return isVector ? `signs(n${node.a})` : `signs(vec4f(n${node.a})).x`;
      case "min":
      case "max": {
        const [a, b] = [value(node.a), value(node.b)];
        if (varies(node.b)) return `${node.op === "min" ? "least" : "greatest"}(${a}, ${b})`;
        return `select(${a}, ${b}, ${node.op === "min" ? `${b} < ${a}` : `${a} < ${b}`})`;
      }
      case "select":
        return `select(${value(node.b)}, ${value(node.a)}, n${node.condition})`;
      default: {
        const result = `${value(node.a)} ${symbols[node.op]} ${value(node.b)}`;
        return node.op === "mul" && isFactor(node.b) ? `${result} * factorRest` : result;
      }
    }
  };
  const needed = neededNodes(nodes, wanted);
  const lines = (areVectors: boolean): string =>
    needed
      .filter((index) => varies(index) === areVectors)
      .map((index) => `let n${index} = ${print(nodes[index] as ElementNode, areVectors)};`)
      .join("\n");
  // Not every device takes a load out of a loop by itself.
  const factorRest = needed.some(isFactor)
    ? `let factorRest = bitcast<f32>(table[record + ${record.factorRest}u]);\n`
    : "";
  return { scalars: factorRest + lines(false), vectors: lines(true) };
}

const symbols = { add: "+", sub: "-", mul: "*", div: "/", gt: ">", lt: "<", eq: "==" };

/**
 * `min`, `max` and `sign` with core's meanings: WGSL's own may lose a NaN, and comparing a value with itself does not find one. Equal
 * values differ in their sign at most, that of zeros.
 */
export const elementFunctions = (): string => wgsl`
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
`;
