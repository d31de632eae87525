import type { AnyOptimWrapper, CountStatus, StepMetrics } from "@mm/optim-core";

/** The wrappers of a dict: wrappers of any backend, under names of the caller's choice. */
export type WrapperRecord<W> = { readonly [K in keyof W]-?: AnyOptimWrapper };

/** The names of a dict, as a union of literals. */
export type WrapperName<W> = keyof W & string;

/** One entry, as a union of pairs: comparing the name narrows the wrapper. */
export type WrapperEntry<W> = { [K in WrapperName<W>]: readonly [name: K, wrapper: W[K]] }[WrapperName<W>];

/** The live groups of every wrapper, typed by its rule. */
export type ParamGroupsByName<W extends WrapperRecord<W>> = {
  readonly [K in WrapperName<W>]: W[K]["paramGroups"];
};

/** `"generator.lr"`, one number per group; `"generator.baseLr"` where the wrapper has several groups. */
export type LrByName<W> = { readonly [K in WrapperName<W> as `${K}.lr`]: readonly number[] } & {
  readonly [K in WrapperName<W> as `${K}.baseLr`]?: readonly number[];
};

/** `"generator.momentum"`, one number per group. */
export type MomentumByName<W> = { readonly [K in WrapperName<W> as `${K}.momentum`]: readonly number[] };

export type MetricsByName<W> = { readonly [K in WrapperName<W>]: StepMetrics };

/** {@link CountStatus} for the wrappers that are named. */
export type CountStatusByName<W> = { readonly [K in WrapperName<W>]?: CountStatus };
