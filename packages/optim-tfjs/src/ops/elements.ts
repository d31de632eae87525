import type { ElementNode, Program } from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import { binary, maxWithScalar, minWithScalar, unary } from "./arithmetic.ts";
import { select } from "./select.ts";
import type { Constants, Value } from "./value.ts";

/** The inputs of the elementwise part of a program, in shapes that broadcast to each other. */
export interface ElementSources {
  param(): tf.Tensor;
  grad(): tf.Tensor;
  slot(slot: number): tf.Tensor;
  uniform(uniform: number): Value;
  /** The result of a reduction per row or per column. */
  reduced(reduction: number): Value;
  matrix(matrix: number): tf.Tensor;
  readonly constant: Constants;
}

/** The values of `program.nodes`, each computed when it is first asked for, by one or two tfjs ops. Ask in a tidy. */
export function createNodes(program: Program, sources: ElementSources): (node: number) => Value {
  const values: Value[] = [];
  const at = (index: number): Value =>
    (values[index] ??= evaluate(program, program.nodes[index] as ElementNode, sources, at));
  return at;
}

function evaluate(
  program: Program,
  node: ElementNode,
  sources: ElementSources,
  at: (node: number) => Value,
): Value {
  const { constant } = sources;
  switch (node.op) {
    case "param":
    case "grad":
      return sources[node.op]();
    case "slot":
      return sources.slot(node.slot);
    case "reduced":
      return sources.reduced(node.reduction);
    case "matrix":
      return sources.matrix(node.matrix);
    case "uniform":
      return sources.uniform(node.uniform);
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
      if (program.axes[node.b] !== 0) return binary[node.op](at(node.a), at(node.b));
      return (node.op === "min" ? minWithScalar : maxWithScalar)(at(node.a), at(node.b));
    }
    default:
      return binary[node.op](at(node.a), at(node.b), constant);
  }
}
