import type { AnyOptimWrapper, MetricsOptions, StepMetrics } from "@mm/optim-core";
import { nameIn, namedWrappers, type Wrappers } from "../wrappers.ts";
import { readAllMetrics } from "./gather.ts";
import type { Metrics } from "./metrics.ts";

type Always = "lr" | "momentum" | "lossScale" | "steps" | "skipped";

/** The report of one wrapper: its learning rate and momentum, and what `readMetrics()` gives. */
export type WrapperMetrics = { readonly [K in Always]: number } & {
  /** Absent when not measured. Not finite for a step that was skipped. */
  readonly gradNorm?: number;
  /** Of each group, when asked for: `lr[backbone]`. */
  readonly [group: `lr[${string}]`]: number;
  /** Of each parameter, when asked for: `gradNorm[conv1.kernel]`. */
  readonly [parameter: `gradNorm[${string}]`]: number;
};

/** The same under names: `"generator.lr"`. */
export type WrapperMetricsByName<Name extends string> = { readonly [K in `${Name}.${Always}`]: number } & {
  readonly [K in `${Name}.gradNorm`]?: number;
} & { readonly [K in `${Name}.lr[${string}]` | `${Name}.gradNorm[${string}]`]: number };

export interface CollectOptions extends MetricsOptions {
  /** Also the learning rate of every group, `lr[backbone]`. Default `false`. */
  readonly groups?: boolean;
}

/**
 * All numbers of a wrapper or of several that one logs, flat: `{ "generator.lr", "generator.gradNorm", "generator.lossScale", … }`. With
 * several groups `lr` is the base rate, which schedules drive and no factor changes, and `momentum` that of the first group. Waits for the
 * device, once for all wrappers. A run (`createRun`) reads what it logs by itself.
 *
 * @throws OptimError what the wrappers' reads reject with, all in one error that names them; `invalid-wrapper`
 */
export function collectMetrics(wrapper: AnyOptimWrapper, options?: CollectOptions): Promise<WrapperMetrics>;
export function collectMetrics<Name extends string>(
  wrappers: Iterable<readonly [name: Name, wrapper: AnyOptimWrapper]>,
  options?: CollectOptions,
): Promise<WrapperMetricsByName<Name>>;
export async function collectMetrics(
  wrappers: Wrappers,
  { groups = false, per }: CollectOptions = {},
): Promise<Metrics> {
  const named = namedWrappers(wrappers, "collectMetrics");
  const reading = readAllMetrics(named, { per });
  // As of the call, like what is read.
  const settings = [...named].map(([name, wrapper]) => [name, settingsOf(wrapper, groups)] as const);
  const read = await reading;
  return Object.fromEntries(
    settings.flatMap(([name, values]) =>
      Object.entries({ ...values, ...flat(read.get(name) as StepMetrics) }).map(([key, value]) => [
        nameIn(name, key),
        value,
      ]),
    ),
  );
}

function flat({ gradNorms, ...metrics }: StepMetrics): Metrics {
  return { ...metrics, ...gradNormsOf(gradNorms) };
}

/** `gradNorm[conv1.kernel]`: under names that lines of metrics take. */
export const gradNormsOf = (gradNorms: StepMetrics["gradNorms"] = {}): Metrics =>
  Object.fromEntries(Object.entries(gradNorms).map(([name, norm]) => [`gradNorm[${name}]`, norm]));

function settingsOf(wrapper: AnyOptimWrapper, groups: boolean): Metrics {
  const perGroup = groups ? wrapper.paramGroups.map((group) => [`lr[${group.name}]`, group.lr] as const) : [];
  return {
    lr: lrOf(wrapper),
    ...Object.fromEntries(perGroup),
    momentum: wrapper.getMomentum().momentum[0] as number,
  };
}

/** The learning rate, or with several groups the base rate. */
export function lrOf(wrapper: AnyOptimWrapper): number {
  const { lr, baseLr } = wrapper.getLr();
  return (baseLr ?? lr)[0] as number;
}
