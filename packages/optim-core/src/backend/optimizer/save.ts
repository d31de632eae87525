import type { StateEngine } from "../engine.ts";
import type { OptimizerStateDict, ParameterState } from "../../state.ts";
import { copyHyperparameters } from "../groups.ts";
import type { Parameter } from "../parameter.ts";
import type { ParameterSet } from "./parameter-set.ts";
import type { OptimizerParts } from "./parts.ts";
import { ensureSlots, fromSlot } from "./slots.ts";

/** The state as of the call: all reads are started before the first await. */
export async function saveOptimizerState<P, V, S>(
  { engine, rule, set, pending, lifecycle, skips }: OptimizerParts<P, V, S>,
  withPending: boolean,
): Promise<OptimizerStateDict> {
  const reads = new Reads(engine);
  const parameters = set.parameters.map((parameter) => plan(engine, set, parameter, withPending, reads));
  const readScale = withPending && pending.scale !== undefined ? reads.scalar(pending.scale) : undefined;
  const groups = set.groups.map((group) => {
    const { name, params, values } = group;
    const own = set.ownRuleOf(group);
    return {
      name,
      params: [...params],
      ...(own !== undefined && { rule: own }),
      hyperparameters: copyHyperparameters(values),
    };
  });
  const baseParamSettings = set.base && copyHyperparameters(set.base.values);
  const frozen = set.parameters.filter((parameter) => parameter.frozen).map(({ name }) => name);

  const isSecond = groups.some((group) => group.rule !== undefined) || set.parameters.some(hasSmallSlots);

  const checkSkips = skips.beginRead(lifecycle.at("stateDict"));
  const [, { steps, skipped }, native] = await Promise.all([
    reads.run(),
    engine.stages.readMetrics(),
    engine.readNative?.(),
  ]);
  checkSkips(skipped);
  return {
    format: "optim-optimizer",
    version: isSecond ? 2 : 1,
    rule,
    groups,
    ...(baseParamSettings && { baseParamSettings }),
    params: parameters.map((build) => build()),
    ...(readScale !== undefined && { pendingScale: readScale() }),
    frozen,
    steps,
    skipped,
    ...(native && { native }),
  };
}

/** Whether it has slots that a reader of version 1 would take for damaged: those per row or column. */
function hasSmallSlots<P, V, S>({ group, slots }: Parameter<P, V, S>): boolean {
  return [...slots.keys()].some((slot) => (group.everySlot.axes.get(slot) ?? 3) !== 3);
}

/** Enqueues the reads of a parameter's state; what it returns builds the state once they are done. */
function plan<P, V, S>(
  engine: StateEngine<P, V, S>,
  set: Pick<ParameterSet<P, V, S>, "scalarSlot">,
  parameter: Parameter<P, V, S>,
  withPending: boolean,
  reads: Reads<V, S>,
): () => ParameterState {
  if (parameter.stepped) ensureSlots(engine, parameter);
  const { name, pending, accumulator } = parameter;
  const shape = [...parameter.shape];
  const step = reads.scalar(parameter.step);
  const slots = [...parameter.slots].map(([slot, vector]) => [slot, reads.vector(vector)] as const);
  const scalarSlots = [...parameter.scalarSlots.keys()].map(
    (slot) => [slot, reads.scalar(set.scalarSlot(parameter, slot))] as const,
  );
  const gradient = withPending && pending ? reads.vector(accumulator as V) : undefined;
  return () => ({
    name,
    shape,
    step: step(),
    slots: Object.fromEntries(slots.map(([slot, read]) => [slot, fromSlot(parameter, slot, read())])),
    scalarSlots: Object.fromEntries(scalarSlots.map(([slot, read]) => [slot, read()])),
    ...(gradient !== undefined && { gradient: gradient() }),
  });
}

/** Vectors and scalars that are read together. The functions that `vector` and `scalar` return give the value after `run`. */
class Reads<V, S> {
  readonly #engine: Pick<StateEngine<never, V, S>, "read" | "readScalars">;
  readonly #vectors: V[] = [];
  readonly #scalars: S[] = [];
  #tensors: readonly Float32Array[] = [];
  #numbers: readonly number[] = [];

  constructor(engine: Pick<StateEngine<never, V, S>, "read" | "readScalars">) {
    this.#engine = engine;
  }

  vector(vector: V): () => Float32Array {
    const index = this.#vectors.push(vector) - 1;
    return () => this.#tensors[index] as Float32Array;
  }

  scalar(scalar: S): () => number {
    const index = this.#scalars.push(scalar) - 1;
    return () => this.#numbers[index] as number;
  }

  async run(): Promise<void> {
    [this.#tensors, this.#numbers] = await Promise.all([
      this.#engine.read(this.#vectors),
      this.#engine.readScalars(this.#scalars),
    ]);
  }
}
