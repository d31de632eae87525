import type { AnyOptimWrapper, BaseHyperparameters, OptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import { aBoolean, checkSchema, integerFrom } from "@mm/optim-core/schema";
import {
  byEpoch,
  checkSchedulePlan,
  createScheduler,
  createSchedulerDict,
  type HyperparametersOf,
  type Schedule,
  type SchedulePlan,
  type SchedulePlans,
  type Scheduler,
  type SchedulerDict,
  type SchedulerOptions,
} from "@mm/optim-schedule";
import type { SchedulesConfig } from "./config.ts";
import type { Registries, ScheduleRegistry } from "./registry.ts";
import { checkedScheduleSchema, checkedSchedulesSchema } from "./schema/config-schema.ts";
import { checkJson, memberPath, plainCopy } from "./schema/json-schema.ts";

/** The source of a scheduler: an `OptimWrapperConfig`, of which only `schedules` is read. */
export interface WithSchedules<H, S extends ScheduleRegistry> {
  readonly optimizer?: object;
  readonly schedules?: SchedulesConfig<H, S>;
}

/**
 * Puts the `schedules` of a configuration on a wrapper that was built from it. Without any, the scheduler only counts. Call it right after
 * `buildOptimWrapper`, before a state is loaded: the values of then are those that the schedules begin with.
 *
 * ```ts
 * const scheduler = buildScheduler(optim, config, { schedules: { linear, cosine } });
 * scheduler.step(optim.updateParams(loss));
 * ```
 *
 * Schedules with `convertToUpdates` need `updatesPerEpoch`, the updates that the wrapper makes in an epoch.
 *
 * @throws OptimError `invalid-option`, `unknown-option`, with the path of the field; what `createScheduler` throws
 */
export function buildScheduler<H extends BaseHyperparameters, const S extends ScheduleRegistry>(
  wrapper: OptimWrapper<never, unknown, H>,
  config: WithSchedules<NoInfer<H>, S>,
  registries: { readonly schedules: S; readonly updatesPerEpoch?: number } & Replacing,
): Scheduler {
  return createScheduler(wrapper, planOf(wrapper, config, registries, "config", registries.updatesPerEpoch), {
    where: "config.schedules",
    ...replacing(registries),
  });
}

/**
 * The same for the wrappers of a dict, each with its own schedules. `updatesPerEpoch` is one number for all, or one for each by its name.
 *
 * @throws OptimError as `buildScheduler`; `unknown-name`
 */
export function buildSchedulerDict<
  const E extends readonly [name: string, wrapper: AnyOptimWrapper],
  const S extends ScheduleRegistry,
>(
  wrappers: Iterable<E>,
  config: {
    readonly wrappers: {
      readonly [K in E[0]]: WithSchedules<HyperparametersOf<Extract<E, readonly [K, unknown]>[1]>, S>;
    };
  },
  registries: {
    readonly schedules: S;
    readonly updatesPerEpoch?: number | { readonly [K in E[0]]?: number };
  } & Replacing,
): SchedulerDict<E[0]> {
  const entries = [...wrappers];
  const names = entries.map(([name]) => name);
  const members = Object(config.wrappers) as { readonly [name: string]: { readonly schedules?: object } };
  const unknown = Object.keys(members).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    refuse("unknown-name", "config.wrappers", `one of ${names.join(", ")}`, unknown);
  }
  const { updatesPerEpoch } = registries;
  const ofName = (name: E[0]): number | undefined =>
    typeof updatesPerEpoch === "object" ? updatesPerEpoch[name] : updatesPerEpoch;
  const plans = entries.map(([name, wrapper]) => [
    name,
    planOf(wrapper, members[name] ?? {}, registries, memberPath("config.wrappers", name), ofName(name)),
  ]);
  return createSchedulerDict(entries, Object.fromEntries(plans) as SchedulePlans<E>, {
    where: "config.wrappers",
    ...replacing(registries),
  });
}

/** Whether hyperparameters may be taken from a scheduler that is still under way: see `createScheduler`. Default `false`. */
type Replacing = Pick<SchedulerOptions, "replace">;

const replacing = ({ replace }: Replacing): Replacing => (replace === undefined ? {} : { replace });

function planOf(
  wrapper: AnyOptimWrapper,
  config: { readonly schedules?: object },
  registries: { readonly schedules: ScheduleRegistry },
  path: string,
  updatesPerEpoch: number | undefined,
): SchedulePlan {
  const { schedules } = Object(config) as { readonly schedules?: Schedules };
  const known = { rules: {}, schedules: registries.schedules };
  if (schedules !== undefined) checkJson(checkedSchedulesSchema(known), schedules, `${path}.schedules`);
  return makeSchedules(
    schedules && plainCopy(schedules),
    known,
    [wrapper.defaults, ...wrapper.paramGroups],
    `${path}.schedules`,
    updatesPerEpoch,
  );
}

type Schedules = SchedulesConfig<BaseHyperparameters, ScheduleRegistry>;

/** One schedule as it is written, its options not read yet. */
interface Written {
  readonly type: string;
  readonly convertToUpdates?: unknown;
  readonly schedules?: unknown;
}

/**
 * Makes the schedules of a configuration whose form was checked.
 *
 * @param hyperparameters of all rules
 * @param updatesPerEpoch for schedules with `convertToUpdates`; 1 checks them, where nobody knows it yet
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function makeSchedules(
  written: Schedules | undefined,
  registries: Registries,
  hyperparameters: readonly Readonly<BaseHyperparameters>[],
  where: string,
  updatesPerEpoch: number | undefined,
): SchedulePlan {
  if (written === undefined) return {};
  const { schedules: registry = {} } = registries;
  if (Object.keys(registry).length === 0) {
    refuse("invalid-option", where, "a registry to build it with: { schedules: { cosine } }", registry);
  }
  const make = (given: Written, place: string): Schedule =>
    makeSchedule(given, registries, place, updatesPerEpoch);
  const isList = Array.isArray as (value: unknown) => value is readonly Written[];
  const plan = Object.fromEntries(
    Object.entries(written as { readonly [path: string]: Written | readonly Written[] }).map(
      ([path, given]) => {
        const place = memberPath(where, path);
        const all = isList(given) ? given.map((one, i) => make(one, `${place}[${i}]`)) : make(given, place);
        return [path, all];
      },
    ),
  );
  checkSchedulePlan(plan, hyperparameters, where);
  return plan;
}

function makeSchedule(
  { type, convertToUpdates = false, ...options }: Written,
  registries: Registries,
  where: string,
  updatesPerEpoch: number | undefined,
): Schedule {
  checkSchema("invalid-option", `${where}.convertToUpdates`, convertToUpdates, aBoolean);
  const factory = registries.schedules?.[type] as unknown as (options: object, where: string) => Schedule;
  const { schedules } = options;
  // The schedules of one that is made of others: those of a sequence, or of a kind of one's own.
  const parts = Array.isArray(schedules)
    ? (schedules as unknown[]).map((part, index) => {
        const place = `${where}.schedules[${index}]`;
        checkJson(checkedScheduleSchema(registries), part, place);
        return makeSchedule(part as Written, registries, place, updatesPerEpoch);
      })
    : undefined;
  const made = factory(parts ? { ...options, schedules: parts } : options, where);
  if (!convertToUpdates) return made;
  checkSchema("invalid-option", `${where}: updatesPerEpoch`, updatesPerEpoch, integerFrom(1));
  return byEpoch(made, updatesPerEpoch as number, where);
}
