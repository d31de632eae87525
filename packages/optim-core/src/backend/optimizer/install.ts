import type { StateEngine } from "../engine.ts";
import type { HyperparameterRecord } from "../../hyperparameters.ts";
import type { HyperparameterGroup } from "../groups.ts";
import type { Parameter } from "../parameter.ts";
import { masterSlot, pendingGradient } from "../program/reserved.ts";
import type { StagedParameter } from "./match-parameters.ts";
import type { OptimizerParts } from "./parts.ts";
import { toSlot } from "./slots.ts";

/** All that a load brings, checked and copied. */
export interface StagedState<P, V, S> {
  readonly values: ReadonlyMap<HyperparameterGroup, HyperparameterRecord>;
  readonly parameters: readonly StagedParameter<P, V, S>[];
  readonly pendingScale: number | undefined;
  /** Names; absent where what is frozen stays so. */
  readonly frozen: ReadonlySet<string> | undefined;
  /** Absent where the counters stay. */
  readonly counts: { readonly steps: number; readonly skipped: number } | undefined;
  readonly commitNative: (() => void) | undefined;
}

/** Takes what was staged. Cannot fail. */
export function install<P, V, S>(
  { engine, set, pending, skips }: OptimizerParts<P, V, S>,
  { values, parameters, pendingScale, frozen, counts, commitNative }: StagedState<P, V, S>,
): void {
  for (const [group, next] of values) group.assign(next);
  for (const parameter of set.parameters) {
    parameter.pending = false;
    if (frozen !== undefined) parameter.frozen = frozen.has(parameter.name);
  }
  for (const staged of parameters) installParameter(engine, staged);
  set.forgetItems();
  const scale = pendingScale === undefined ? undefined : engine.scalar(pendingScale);
  pending.restore(scale, scale === undefined && set.parameters.some((parameter) => parameter.pending));
  if (counts !== undefined) {
    engine.stages.writeCounts(counts);
    skips.loaded(counts.skipped);
  }
  commitNative?.();
}

/** The vector of a slot, or of the pending gradient. */
export function vectorOf<P, V, S>(parameter: Parameter<P, V, S>, slot: string): V | undefined {
  return slot === pendingGradient ? parameter.accumulator : parameter.slots.get(slot);
}

function installParameter<P, V, S>(
  engine: StateEngine<P, V, S>,
  { parameter, step, stepped, data, scalars, fresh }: StagedParameter<P, V, S>,
): void {
  for (const [slot, vector] of fresh) {
    // Training meanwhile may have made its own.
    if (vectorOf(parameter, slot) !== undefined) engine.release(vector);
    else if (slot === pendingGradient) parameter.accumulator = vector;
    else parameter.slots.set(slot, vector);
  }
  parameter.step = engine.scalar(step);
  parameter.stepped = stepped;
  const initial = parameter.group.initialSlots(parameter.view);
  for (const [slot, vector] of parameter.slots) {
    // A state without it leaves the parameters what they are, as all states do.
    if (slot === masterSlot && !data.has(slot)) continue;
    const begins = initial.slots.get(slot) ?? 0;
    const values = data.get(slot);
    if (values === undefined && begins === "param") {
      // The next step makes it anew, of what the parameter is then: the model may be loaded after this.
      parameter.slots.delete(slot);
      engine.release(vector);
    } else
      engine.write(
        vector,
        toSlot(
          parameter,
          slot,
          values ?? new Float32Array(parameter.group.slotLength(slot, parameter.view)).fill(begins as number),
        ),
      );
  }
  parameter.scalarSlots.clear();
  const begun = stepped || parameter.slots.size > 0;
  const { shared } = parameter.group.everySlot;
  const begins = [...initial.scalarSlots].filter(([slot]) => begun && !shared.has(slot));
  for (const [slot, value] of [...begins, ...scalars]) {
    parameter.scalarSlots.set(slot, engine.scalar(value));
  }
  const gradient = data.get(pendingGradient);
  if (gradient !== undefined) {
    engine.write(parameter.accumulator as V, gradient);
    parameter.pending = true;
  }
}
