import {
  type ElementNode,
  operandsOf,
  type Program,
  structureOf,
  traceRule,
  type UniformSource,
} from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";

/** A program around nodes that a test writes down. */
export function program(
  nodes: readonly ElementNode[],
  outputs: { readonly param: number; readonly slots?: readonly number[] },
  norms: readonly number[] = [],
): Program {
  const varying: boolean[] = [];
  let uniforms = 0;
  for (const node of nodes) {
    const leaf = node.op === "param" || node.op === "grad" || node.op === "slot";
    varying.push(leaf || operandsOf(node).some((operand) => varying[operand] === true));
    if (node.op === "uniform") uniforms = Math.max(uniforms, node.uniform + 1);
  }
  const slots = outputs.slots ?? [];
  return {
    label: "a test",
    slots: slots.map((_, index) => `slot${index}`),
    scalarSlots: [],
    nodes,
    varying,
    outputs: { param: outputs.param, slots },
    uniforms: Array.from({ length: uniforms }, (): UniformSource => ({ from: "gradFactor" })),
    scalars: [],
    scalarOutputs: [],
    norms,
  };
}

/** One of every kind. */
export const allRules: readonly UpdateRule[] = [
  rules.adabelief(),
  rules.adadelta(),
  rules.adagrad(),
  rules.adam(),
  rules.adamax(),
  rules.adamw(),
  rules.adan(),
  rules.asgd(),
  rules.lamb(),
  rules.lars(),
  rules.lion(),
  rules.nadam(),
  rules.novograd(),
  rules.radam(),
  rules.rmsprop(),
  rules.rprop(),
  rules.sgd(),
  rules.signum(),
  rules.adamwEpsilonHat(),
  rules.ademamix(),
  rules.adopt(),
  rules.laprop(),
  rules.mars(),
  rules.marsLion(),
  rules.nadamw(),
  rules.sgdw(),
  rules.stableAdamw(),
  rules.yogi(),
  rules.lookahead(rules.lamb()),
  rules.ema(rules.adam()),
  rules.cautious(rules.lion()),
  rules.cautious(rules.adopt(), { floor: 1e-3, uphill: 0.1 }),
];

/** The program that a rule has with its own hyperparameters. */
export function programOf({ definition, hyperparameters }: UpdateRule): Program {
  const structure = structureOf(definition, hyperparameters);
  return traceRule(definition, structure, { clipValue: false, zeroNonFinite: false });
}

/** The programs of a rule in all its structures, of more than 64 in 64 that lie evenly among them; clipping by value and zeroing take turns. */
export function allPrograms({ definition }: UpdateRule): readonly Program[] {
  const switches = Object.keys(structureOf(definition, definition.hyperparameters));
  const places = switches.length;
  return Array.from({ length: Math.min(1 << places, 64) }, (_, index) => {
    const bits = places > 6 ? Math.imul(index, 0x9e3779b1) >>> (32 - places) : index;
    const structure = Object.fromEntries(switches.map((name, place) => [name, (bits & (1 << place)) !== 0]));
    return traceRule(definition, structure, { clipValue: bits % 2 === 1, zeroNonFinite: bits % 3 === 1 });
  });
}
