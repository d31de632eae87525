import type { ElementNode, Program } from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import { binary, maxWithScalar, minWithScalar, unary } from "./arithmetic.ts";
import type { Constants, Value } from "./value.ts";
import { select } from "./select.ts";

/** What the elementwise part of a program reads: tensors of the parameter's shape, and uniforms. */
export interface ElementInputs {
  readonly param: tf.Tensor;
  readonly grad: tf.Tensor;
  readonly slots: readonly tf.Tensor[];
  readonly uniforms: readonly Value[];
  readonly constant: Constants;
}

/** The values of `program.nodes` up to and including `last`, one or two tfjs ops a node. Call it in a tidy. */
export function evaluateElements(program: Program, inputs: ElementInputs, last: number): Value[] {
  const values: Value[] = [];
  for (const node of program.nodes.slice(0, last + 1)) values.push(evaluate(program, node, inputs, values));
  return values;
}

function evaluate(
  program: Program,
  node: ElementNode,
  { param, grad, slots, uniforms, constant }: ElementInputs,
  values: readonly Value[],
): Value {
  const at = (operand: number): Value => values[operand] as Value;
  switch (node.op) {
    case "param":
      return param;
    case "grad":
      return grad;
    case "slot":
      return slots[node.slot] as tf.Tensor;
    case "reduced":
    case "matrix":
      throw new Error(`${node.op} is none that this backend says it knows`);
    case "uniform":
      return uniforms[node.uniform] as Value;
    case "const":
      return constant(node.value);
    case "select":
      return select(at(node.condition) as tf.Tensor, at(node.a), at(node.b));
    case "neg":
    case "sqrt":
    case "abs":
    case "sign":
      return unary[node.op](at(node.a), constant);
    case "min":
    case "max": {
      if (program.axes[node.b] === 3) return binary[node.op](at(node.a), at(node.b));
      return (node.op === "min" ? minWithScalar : maxWithScalar)(at(node.a), at(node.b));
    }
    default:
      return binary[node.op](at(node.a), at(node.b), constant);
  }
}
