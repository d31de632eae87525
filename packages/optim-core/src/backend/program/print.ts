import {
  type ElementNode,
  isPacked,
  operandsOf,
  type Pass,
  type Program,
  type ScalarInstruction,
  type TensorReduction,
} from "./program.ts";

const infix: { readonly [op: string]: string } = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  gt: ">",
  lt: "<",
  eq: "==",
};

/**
 * A program as text, for people: what a backend compiles, one line an instruction, in order. `r0`, `r1`, … are scalars in float64, one number
 * for a parameter tensor; `n0`, `n1`, … are float32 values, one for each element. Each is computed from those above it, and the last lines say
 * which of them become the next parameter, slots and scalar slots.
 *
 * ```text
 * SGD
 * scalars, float64:
 *   r0 = lr
 * elements, float32:
 *   n0 = grad
 *   n1 = gradFactor            # once a tensor
 *   n2 = n0 * n1
 *   …
 * param = n5
 * ```
 */
export function printProgram(program: Program): string {
  const { label, slots, scalarSlots, nodes, axes, outputs, scalars, scalarOutputs, passes } = program;
  const registers = scalars.map((instruction, index) => {
    const text = `  r${index} = ${scalarText(program, instruction)}`;
    return instruction.dynamic ? noted(text, "each step") : text;
  });
  const elements = nodes.map((node, index) => {
    const text = `  n${index} = ${elementText(program, node)}`;
    return axes[index] === 3 ? text : noted(text, onceEach[axes[index] ?? 0]);
  });
  return [
    label,
    ...(registers.length > 0 ? ["scalars, float64:", ...registers] : []),
    "elements, float32:",
    ...elements,
    // One pass needs no list.
    ...(passes.length > 1 ? ["passes:", ...passes.map((pass) => `  ${passText(program, pass)}`)] : []),
    `param = n${outputs.param}`,
    ...slots.map((slot, index) => {
      const text = `${slot} = n${outputs.slots[index]}`;
      return isPacked(program, index) ? noted(text, "as bfloat16") : text;
    }),
    ...scalarSlots.map((slot, index) => `${slot} = r${scalarOutputs[index]}`),
    "",
  ].join("\n");
}

const onceEach = ["once a tensor", "once a row", "once a column", ""] as const;
const over = ["tensors", "rows", "columns", "elements"] as const;

function passText({ reductions, matrices }: Program, pass: Pass): string {
  switch (pass.kind) {
    case "reduce": {
      const found = pass.reductions.map((index) => reductionText(reductions[index] as TensorReduction));
      return `over ${over[pass.axes]}: ${found.join(", ")}`;
    }
    case "update":
      return `over ${over[pass.axes]}: update`;
    case "total":
      return `over all tensors: ${pass.registers.map((register) => `r${register}`).join(", ")}`;
    default:
      return `orthogonalize(n${matrices[pass.matrix]?.of}), ${matrices[pass.matrix]?.coefficients.length} steps`;
  }
}

function reductionText({ kind, a, b, per }: TensorReduction): string {
  const operands = kind === "dot" ? `n${a}, n${b}` : `n${a}`;
  return `${kind}(${operands}${per === "tensor" ? "" : `, per ${per}`})`;
}

const noted = (text: string, note: string): string => `${text.padEnd(40)} # ${note}`;

function scalarText({ reductions }: Program, instruction: ScalarInstruction): string {
  switch (instruction.op) {
    case "const":
      return String(instruction.value);
    case "hyper":
      return instruction.index < 0 ? instruction.name : `${instruction.name}[${instruction.index}]`;
    case "step":
      return "step";
    case "scalarSlot":
      return instruction.name;
    case "size":
    case "rows":
    case "cols":
      return instruction.op;
    case "reduced":
      return reductionText(reductions[instruction.reduction] as TensorReduction);
    default:
      return applied(instruction.op, operandsOf(instruction), "r");
  }
}

function elementText({ slots, uniforms, reductions, matrices }: Program, node: ElementNode): string {
  switch (node.op) {
    case "param":
    case "grad":
      return node.op;
    case "slot":
      return String(slots[node.slot]);
    case "reduced":
      return reductionText(reductions[node.reduction] as TensorReduction);
    case "matrix":
      return `orthogonalize(n${matrices[node.matrix]?.of})`;
    case "const":
      return String(node.value);
    case "uniform": {
      const source = uniforms[node.uniform];
      return source?.from === "scalar" ? `r${source.register}` : String(source?.from);
    }
    default:
      return applied(node.op, operandsOf(node), "n");
  }
}

function applied(op: string, operands: readonly number[], prefix: string): string {
  const names = operands.map((operand) => `${prefix}${operand}`);
  const symbol = infix[op];
  return symbol === undefined ? `${op}(${names.join(", ")})` : names.join(` ${symbol} `);
}
