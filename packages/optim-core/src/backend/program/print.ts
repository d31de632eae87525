import { type ElementNode, operandsOf, type Program, type ScalarInstruction } from "./program.ts";

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
  const { label, slots, scalarSlots, nodes, varying, outputs, scalars, scalarOutputs } = program;
  const registers = scalars.map((instruction, index) => {
    const text = `  r${index} = ${scalarText(program, instruction)}`;
    return instruction.dynamic ? noted(text, "each step") : text;
  });
  const elements = nodes.map((node, index) => {
    const text = `  n${index} = ${elementText(program, node)}`;
    return varying[index] === true ? text : noted(text, "once a tensor");
  });
  return [
    label,
    ...(registers.length > 0 ? ["scalars, float64:", ...registers] : []),
    "elements, float32:",
    ...elements,
    `param = n${outputs.param}`,
    ...slots.map((slot, index) => `${slot} = n${outputs.slots[index]}`),
    ...scalarSlots.map((slot, index) => `${slot} = r${scalarOutputs[index]}`),
    "",
  ].join("\n");
}

const noted = (text: string, note: string): string => `${text.padEnd(40)} # ${note}`;

function scalarText({ norms }: Program, instruction: ScalarInstruction): string {
  switch (instruction.op) {
    case "const":
      return String(instruction.value);
    case "hyper":
      return instruction.index < 0 ? instruction.name : `${instruction.name}[${instruction.index}]`;
    case "step":
      return "step";
    case "scalarSlot":
      return instruction.name;
    case "norm":
      return `norm(n${norms[instruction.norm]})`;
    default: {
      const { condition, a, b } = instruction as { condition?: number; a: number; b?: number };
      const operands = [condition, a, b].filter((operand) => operand !== undefined);
      return applied(instruction.op, operands, "r");
    }
  }
}

function elementText({ slots, uniforms }: Program, node: ElementNode): string {
  switch (node.op) {
    case "param":
    case "grad":
      return node.op;
    case "slot":
      return String(slots[node.slot]);
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
