import type { LossClosure } from "@mm/optim-conformance";
import type { ClipGrad, NamedTensors, Optimizer, OptimizerStateDict } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { ema, sam, samAscent, type SamAscentHyperparameters, swa } from "@mm/optim-rules";
import { Checks } from "../checks.ts";
import { decode, type GoldenData, type GoldenGradients, type TorchOptions } from "../format.ts";
import type { Bench } from "../subject.ts";
import { camelCase, ruleOf } from "../torch.ts";
import type { ModernCase, ModernStep } from "./format.ts";
import { type Layout, layoutFor } from "./layout.ts";
import { Moves } from "./moves.ts";
import { isBatch } from "./skipped.ts";
import { translations } from "./translate.ts";

/** One of our optimizers: the tensors that one rule drives, in groups as recorded. */
interface Part<Loss, LossValue> {
  readonly optimizer: Optimizer<Loss, LossValue>;
  readonly groups: readonly PartGroup[];
  /** With SAM: its second optimizer. */
  readonly ascent?: Optimizer<Loss, LossValue, SamAscentHyperparameters>;
}

interface PartGroup {
  /** Its place among the recorded groups. */
  readonly recorded: number;
  readonly params: string[];
  /** Of the first of them; all have as many dimensions. */
  readonly shape: readonly number[];
}

/** An optimizer of another library on given gradients. */
export async function runModern<P, Loss extends LossClosure, LossValue>(
  recorded: ModernCase,
  { factory }: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const { optimizer, groups, init, steps, checkpoint, finalStateDict, special, maxAbsDiffVsFloat64 } =
    recorded;
  const checks = new Checks();
  const layout = layoutFor(factory, new Map(Object.entries(init).map(([name, { shape }]) => [name, shape])));
  const parameters = new Map(
    groups.flatMap(({ params }) =>
      params.map((name) => {
        const { data } = init[name] as ModernCase["init"][string];
        return [
          name,
          factory.createParameter(layout.toHost(name, decode(data)), layout.shapeOf(name)),
        ] as const;
      }),
    ),
  );
  const options: TorchOptions[] = groups.map((group) => ({ ...optimizer.args, ...group.options }));
  const ruleFor = (group: number, shape: readonly number[]): UpdateRule => {
    const rule = translated(recorded, options[group] as TorchOptions, shape);
    return special === "average" ? averaging(rule, recorded) : rule;
  };
  const create = (): Part<Loss, LossValue>[] =>
    partsOf(recorded, ruleFor).map(({ rule, groups: mine }) => {
      const written = mine.map(({ recorded: group, params, shape }) => ({
        params: Object.fromEntries(params.map((name) => [name, parameters.get(name) as P])),
        // Hosts without shapes are told; the others have the same.
        ...((rule.definition.shapes !== undefined || special === "agc") && {
          shapes: Object.fromEntries(params.map((name) => [name, layout.shapeOf(name)])),
        }),
        ...ruleFor(group, shape).hyperparameters,
      }));
      const base = factory.createOptimizer(rule, written);
      if (special !== "sam") return { optimizer: base, groups: mine };
      const climbs = mine.map(({ recorded: group, params }) => ({
        params: Object.fromEntries(params.map((name) => [name, parameters.get(name) as P])),
        rho: Number(options[group]?.["rho"] ?? 0.05),
        adaptive: options[group]?.["adaptive"] === true,
      }));
      const ascent = factory.createOptimizer(samAscent(), climbs);
      return { optimizer: sam(base, ascent), groups: mine, ascent };
    });

  const lossOf = (grads: GoldenGradients, { groups: mine }: Part<Loss, LossValue>): Loss | undefined => {
    const terms = mine
      .flatMap(({ params }) => params)
      .flatMap((name) => {
        const data = grads[name] ?? (takesNoneForZeros(optimizer.type) ? zeros(init[name]) : null);
        if (data === null) return [];
        const gradient = layout.toHost(name, decode(data));
        return [{ name, parameter: parameters.get(name) as P, gradient }];
      });
    return terms.length === 0 ? undefined : factory.linearLoss(terms);
  };

  const moved = new Moves(init);
  let parts = create();
  // Our averages follow a tensor's own updates: one that lacked a gradient is behind the authors' from there on.
  const lagging = new Set<string>();
  for (const [index, step] of steps.entries()) {
    if (checkpoint?.beforeStep === index) {
      const saved = await Promise.all(parts.map(({ optimizer: part }) => part.stateDict()));
      compareSlots(checks, "checkpoint", saved, recorded, layout, checkpoint.stateDict.state);
      for (const part of parts) part.optimizer.dispose();
      parts = create();
      for (const [place, state] of saved.entries()) await load(parts[place], state);
    }
    for (const { group, ...changes } of step.set ?? []) {
      options[group] = { ...options[group], ...(changes as TorchOptions) };
      for (const part of parts)
        for (const [place, mine] of part.groups.entries())
          if (mine.recorded === group)
            Object.assign(
              part.optimizer.paramGroups[place] as object,
              ruleFor(group, mine.shape).hyperparameters,
            );
    }
    for (const [name, data] of Object.entries(step.grads)) if (data === null) lagging.add(name);
    for (const part of parts) {
      const loss = lossOf(step.grads, part);
      if (loss === undefined) continue;
      const second = lossOf(step.grads2 ?? step.grads, part) ?? loss;
      for (const [name, data] of Object.entries(await climbed(part, loss))) {
        const field = `steps[${index}].perturbed.${name}`;
        const point = layout.fromHost(name, data);
        checks.parameter(field, point, step.perturbed?.[name] ?? [], 4 * maxAbsDiffVsFloat64);
      }
      part.optimizer.backward(special === "sam" ? inTurn(loss, second) : loss);
      part.optimizer.step(clipping(recorded));
      part.optimizer.zeroGrad();
      if (recorded.stepCounter === "group" && !counts(recorded)) await moveAlong(part, step);
    }
    for (const part of parts) {
      const after = await part.optimizer.readParameters();
      const points = await evaluated(part.optimizer);
      await compareScalars(checks, `steps[${index}].scalars`, part, step);
      for (const name of part.groups.flatMap(({ params }) => params)) {
        const slack = 4 * maxAbsDiffVsFloat64;
        const found = layout.fromHost(name, after[name] as Float32Array);
        const field = `steps[${index}].after.${name}`;
        if (isRounded(recorded, part.optimizer)) moved.note(name, found, decode(step.after[name] ?? []));
        else checks.parameter(field, found, step.after[name] ?? [], slack);
        const average = step.averaged?.[name];
        // Before its first average ours is the parameter, theirs what it was at first.
        if (average && !lagging.has(name) && index + 1 >= everyOf(recorded))
          checks.parameter(
            `steps[${index}].averaged.${name}`,
            layout.fromHost(name, points[name] as Float32Array),
            average,
            slack,
          );
        const point = step.eval?.[name];
        if (point)
          checks.parameter(
            `steps[${index}].eval.${name}`,
            layout.fromHost(name, points[name] as Float32Array),
            point,
            slack,
          );
      }
    }
  }
  moved.check(checks);
  const states = await Promise.all(parts.map(({ optimizer: part }) => part.stateDict()));
  compareSlots(checks, "finalStateDict", states, recorded, layout, finalStateDict.state);
  for (const part of parts) part.optimizer.dispose();
  for (const parameter of parameters.values()) factory.disposeParameter?.(parameter);
  return checks;
}

const everyOf = ({ average }: ModernCase): number => average?.every ?? 1;

/** PyTorch's averaged model takes the parameters over at its first update. */
function averaging(rule: UpdateRule, recorded: ModernCase): UpdateRule {
  const every = everyOf(recorded);
  const decay = recorded.average?.decay;
  if (decay === undefined) return swa(rule, { swaEvery: every });
  return ema(rule, { emaDecay: decay, emaBegin: every, emaEvery: every });
}

/** The parameters at the evaluation point. */
async function evaluated(optimizer: Optimizer<never, unknown>): Promise<NamedTensors> {
  optimizer.swapIn();
  try {
    return await optimizer.readParameters();
  } finally {
    optimizer.swapOut();
  }
}

/** Holds scalar slots to numbers that authors keep for a whole group. */
async function compareScalars<Loss, LossValue>(
  checks: Checks,
  at: string,
  { optimizer, groups }: Part<Loss, LossValue>,
  { scalars = [] }: ModernStep,
): Promise<void> {
  if (scalars.length === 0) return;
  const { params } = await optimizer.stateDict();
  for (const { name, step, scalarSlots } of params) {
    const group = groups.find((each) => each.params.includes(name))?.recorded ?? 0;
    if (step === 0) continue;
    for (const [theirs, value] of Object.entries(scalars[group] ?? {})) {
      const ours = scalarSlots[camelCase(theirs)];
      if (ours !== undefined) checks.modernSlot(`${at}[${group}].${theirs}: ${name}`, [ours], [value]);
    }
  }
}

/** Whether the rule counts its steps in a number that all tensors share. */
const counts = ({ optimizer: { type } }: ModernCase): boolean => /^(prodigyopt|dadaptation):/.test(type);

/** Whether Newton–Schulz was computed in bfloat16. */
const isRounded = ({ newtonSchulz }: ModernCase, { rule }: { readonly rule: string }): boolean =>
  newtonSchulz === "bfloat16" && (rule === "Muon" || rule === "MARSShampoo");

/** Keller Jordan's optimizers give a parameter without a gradient one of zeros. */
const takesNoneForZeros = (type: string): boolean => /^(keller_muon|c_muon):/.test(type);
const zeros = (tensor: ModernCase["init"][string] | undefined): GoldenData =>
  Array<number>(tensor === undefined ? 0 : decode(tensor.data).length).fill(0);

function translated(
  { optimizer: { type, args }, special }: ModernCase,
  options: TorchOptions,
  shape: readonly number[],
): UpdateRule {
  if (special === "sam") {
    const { base_optimizer: base, rho: _rho, adaptive: _adaptive, ...others } = options;
    return ruleOf({ type: base as string, args: others });
  }
  const translate = translations[type];
  if (translate === undefined) return ruleOf({ type, args: options });
  return translate(options as never, { shape, dimensions: shape.length, args: args as never });
}

/** The tensors by the rule that drives them: MARS is for matrices, and gives others to AdamW. */
function partsOf(
  { groups, init, optimizer: { type } }: ModernCase,
  ruleFor: (group: number, shape: readonly number[]) => UpdateRule,
): { readonly rule: UpdateRule; readonly groups: readonly PartGroup[] }[] {
  const parts = new Map<UpdateRule["definition"], { rule: UpdateRule; groups: PartGroup[] }>();
  for (const [recorded, { params }] of groups.entries()) {
    for (const name of params) {
      const shape = init[name]?.shape ?? [];
      if (isBatch(type, shape)) continue;
      const rule = ruleFor(recorded, shape);
      const part = parts.get(rule.definition) ?? { rule, groups: [] };
      const same = part.groups.find(
        (each) => each.recorded === recorded && each.shape.length === shape.length,
      );
      if (same === undefined) part.groups.push({ recorded, params: [name], shape });
      else same.params.push(name);
      parts.set(rule.definition, part);
    }
  }
  return [...parts.values()];
}

/** timm's LAMB clips the norm of all gradients itself, to 1 unless it is told otherwise. */
function clipping({ optimizer: { type, args }, agc }: ModernCase): { readonly clipGrad?: ClipGrad } {
  if (agc !== undefined)
    return { clipGrad: { type: "adaptive", clipFactor: agc.clip_factor ?? 0.01, eps: agc.eps ?? 1e-3 } };
  const { max_grad_norm: maxNorm = 1 } = args;
  return type === "timm.optim.lamb:Lamb" && maxNorm !== null
    ? { clipGrad: { maxNorm: Number(maxNorm) } }
    : {};
}

/** The point at which SAM takes its second gradient, found as `sam` finds it, and left again. Nothing without SAM. */
async function climbed<Loss, LossValue>(
  { ascent }: Part<Loss, LossValue>,
  loss: Loss,
): Promise<NamedTensors> {
  if (ascent === undefined) return {};
  const move = async (climbing: boolean): Promise<NamedTensors> => {
    const amongAdaptive = ascent.paramGroups.some(({ adaptive }) => adaptive);
    for (const group of ascent.paramGroups) Object.assign(group, { climbing, amongAdaptive });
    ascent.step(climbing ? { rescale: 2 ** 40, clipGrad: { maxNorm: 1 } } : {});
    return ascent.readParameters();
  };
  ascent.backward(loss);
  const point = await move(true);
  await move(false);
  ascent.zeroGrad();
  return point;
}

/** A loss that is the first, then the second. */
function inTurn<Loss extends LossClosure>(first: Loss, second: Loss): Loss {
  let calls = 0;
  return ((pass: never) => (calls++ === 0 ? first : second)(pass)) as Loss;
}

/**
 * Where the authors count a group's steps, a tensor without a gradient goes along, while ours stays: it takes over the count, and what depends on
 * counts alone, from a tensor that took the step.
 */
async function moveAlong<Loss, LossValue>(part: Part<Loss, LossValue>, { grads }: ModernStep): Promise<void> {
  const groupOf = new Map(
    part.groups.flatMap(({ params, recorded }) => params.map((name) => [name, recorded] as const)),
  );
  const names = [...groupOf.keys()];
  const leaders = names.filter((name) => (grads[name] ?? null) !== null);
  if (leaders.length === 0 || leaders.length === names.length) return;
  const state = await part.optimizer.stateDict();
  const params = state.params.map((entry) => {
    if (leaders.includes(entry.name)) return entry;
    // Anything that depends on counts depends on the group's hyperparameters, too.
    const leader = leaders.find((name) => groupOf.get(name) === groupOf.get(entry.name)) ?? leaders[0];
    const led = state.params.find(({ name }) => name === leader);
    return led === undefined ? entry : { ...entry, step: led.step, scalarSlots: led.scalarSlots };
  });
  await load(part, { ...state, params });
}

async function load<Loss, LossValue>(
  part: Part<Loss, LossValue> | undefined,
  state: OptimizerStateDict,
): Promise<void> {
  part?.optimizer.prepareLoad(state).commit();
}

/** Slots that we keep and the authors do not. */
const ownSlots: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "momentumStarted",
  "ema",
  "stepsSinceEma",
  "swa",
  "swaCount",
  "stepsSinceSwa",
  // Numbers of a group, which are compared after every step.
  "weightSum",
  "lrMax",
  "d",
  "dMax",
  "dNumerator",
  "numeratorWeighted",
  "g0Norm",
  "k",
]);

/** Names that transformers has for slots of PyTorch's Adafactor. */
const otherNames: { readonly [slot: string]: string } = {
  rowVar: "expAvgSqRow",
  colVar: "expAvgSqCol",
  variance: "expAvgSq",
  // SGDP's.
  momentumBuffer: "momentum",
};

/** Holds our slots to the recorded ones. */
function compareSlots(
  checks: Checks,
  at: string,
  states: readonly OptimizerStateDict[],
  { groups, init }: ModernCase,
  layout: Layout,
  recorded: ModernCase["finalStateDict"]["state"],
): void {
  const order = groups.flatMap(({ params }) => params);
  for (const { params } of states) {
    for (const { name, slots, scalarSlots } of params) {
      const entry = recorded[String(order.indexOf(name))] ?? {};
      const theirs = new Map(Object.entries(entry).map(([key, value]) => [camelCase(key), value]));
      for (const [slot, values] of Object.entries<ArrayLike<number>>({
        ...slots,
        ...Object.fromEntries(Object.entries(scalarSlots).map(([key, value]) => [key, [value]])),
      })) {
        if (ownSlots.has(slot)) continue;
        // A slot that the authors do without: AdEMAMix's fast average where β₁ = 0.
        if (theirs.get(slot) === null) continue;
        const negated = theirs.get("negPreGrad");
        const value = theirs.get(slot) ?? (slot === "prev" ? negated : theirs.get(otherNames[slot] ?? ""));
        const stored =
          typeof value === "object" && value !== null && "tensor" in value ? value.tensor : [value];
        // Prodigy's of a parameter that began at 0 everywhere is one 0 in theirs.
        const isZero = slot === "p0" && stored.length === 1 && Number(stored[0]) === 0;
        const data = isZero ? Array.from(values, () => 0) : stored;
        const sign = slot === "prev" && value === negated ? -1 : 1;
        const isWhole = values.length === (init[name]?.data as ArrayLike<number> | undefined)?.length;
        const found = isWhole && values.length > 1 ? layout.fromHost(name, values as Float32Array) : values;
        checks.modernSlot(
          `${at}.${name}.${slot}`,
          found,
          data.map((x) => sign * Number(x)),
        );
      }
    }
  }
}
