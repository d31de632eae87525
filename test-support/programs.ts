import {
  type ElementNode,
  type ElementPass,
  layOutPasses,
  operandsOf,
  type Program,
  structureOf,
  traceRule,
  type UniformSource,
  type VectorKernels,
} from "@mm/optim-core/backend";
import type { Axes, UpdateRule } from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";

/**
 * A program around nodes that a test writes down.
 *
 * @param norms nodes whose norms are registers of the scalar part, in order
 */
export function program(
  nodes: readonly ElementNode[],
  outputs: { readonly param: number; readonly slots?: readonly number[] },
  norms: readonly number[] = [],
): Program {
  const axes: Axes[] = [];
  let uniforms = 0;
  for (const node of nodes) {
    const leaf = node.op === "param" || node.op === "grad" || node.op === "slot";
    axes.push(leaf || operandsOf(node).some((operand) => axes[operand] === 3) ? 3 : 0);
    if (node.op === "uniform") uniforms = Math.max(uniforms, node.uniform + 1);
  }
  const slots = outputs.slots ?? [];
  const parts = {
    slots: slots.map((_, index) => `slot${index}`),
    slotAxes: slots.map((): Axes => 3),
    nodes,
    axes,
    outputs: { param: outputs.param, slots },
    uniforms: Array.from({ length: uniforms }, (): UniformSource => ({ from: "gradFactor" })),
    scalars: norms.map((_, reduction) => ({ op: "reduced", reduction, dynamic: true }) as const),
    reductions: norms.map((a) => ({ kind: "norm", a, b: a, per: "tensor" }) as const),
    matrices: [],
  };
  return { label: "a test", scalarSlots: [], scalarOutputs: [], ...parts, passes: layOutPasses(parts) };
}

/** Runs the passes of one kind over flat vectors: parameter, gradient, slots. Norms come as Σx². */
export function runPasses<V extends { readonly length: number }>(
  kernels: VectorKernels<V>,
  kind: ElementPass["kind"],
  it: Program,
  vectors: readonly V[],
  uniforms: Float32Array,
  sums: Float64Array = new Float64Array(it.reductions.length),
): void {
  const extents = { rows: 1, cols: (vectors[0] as V).length };
  for (const pass of it.passes)
    if (pass.kind === kind) kernels.run(it, pass, vectors, extents, uniforms, sums);
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
  rules.scheduleFreeAdamw(),
  rules.scheduleFreeRadam(),
  rules.scheduleFreeSgd(),
  rules.lookahead(rules.lamb()),
  rules.ema(rules.adam()),
  rules.swa(rules.adam()),
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
