import type { AnyOptimWrapper, BaseHyperparameters, OptimWrapper } from "@mm/optim-core";
import { refuse } from "@mm/optim-core/backend";
import {
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
import type { ScheduleConfig, SchedulesConfig } from "./config.ts";
import type { Registries, ScheduleRegistry } from "./registry.ts";
import { checkedSchedulesSchema } from "./schema/config-schema.ts";
import { checkJson, memberPath, plainCopy } from "./schema/json-schema.ts";

/** What a scheduler is built from: an `OptimWrapperConfig`, of which only `schedules` is read. */
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
 * @throws OptimError `invalid-option`, `unknown-option`, with the path of the field; what `createScheduler` throws
 */
export function buildScheduler<H extends BaseHyperparameters, const S extends ScheduleRegistry>(
  wrapper: OptimWrapper<never, unknown, H>,
  config: WithSchedules<NoInfer<H>, S>,
  registries: { readonly schedules: S } & Replacing,
): Scheduler {
  return createScheduler(wrapper, planOf(wrapper, config, registries, "config"), {
    where: "config.schedules",
    ...replacing(registries),
  });
}

/**
 * The same for the wrappers of a dict, each with its own schedules.
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
  registries: { readonly schedules: S } & Replacing,
): SchedulerDict<E[0]> {
  const entries = [...wrappers];
  const names = entries.map(([name]) => name);
  const members = Object(config.wrappers) as { readonly [name: string]: { readonly schedules?: object } };
  const unknown = Object.keys(members).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    refuse("unknown-name", "config.wrappers", `one of ${names.join(", ")}`, unknown);
  }
  const plans = entries.map(([name, wrapper]) => [
    name,
    planOf(wrapper, members[name] ?? {}, registries, memberPath("config.wrappers", name)),
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
): SchedulePlan {
  const { schedules } = Object(config) as { readonly schedules?: Schedules };
  const known = { rules: {}, schedules: registries.schedules };
  if (schedules !== undefined) checkJson(checkedSchedulesSchema(known), schedules, `${path}.schedules`);
  return makeSchedules(
    schedules && plainCopy(schedules),
    known,
    [wrapper.defaults, ...wrapper.paramGroups],
    `${path}.schedules`,
  );
}

type Schedules = SchedulesConfig<BaseHyperparameters, ScheduleRegistry>;

/**
 * Makes the schedules of a configuration whose form was checked.
 *
 * @param hyperparameters of all rules
 * @throws OptimError `invalid-option`, `unknown-option`
 */
export function makeSchedules(
  written: Schedules | undefined,
  { schedules: registry = {} }: Registries,
  hyperparameters: readonly Readonly<BaseHyperparameters>[],
  where: string,
): SchedulePlan {
  if (written === undefined) return {};
  if (Object.keys(registry).length === 0) {
    refuse("invalid-option", where, "a registry to build it with: { schedules: { cosine } }", registry);
  }
  const make = ({ type, ...options }: ScheduleConfig<ScheduleRegistry>, place: string): Schedule =>
    (registry[type] as unknown as (options: object, where: string) => Schedule)(options, place);
  const isList = Array.isArray as (value: unknown) => value is readonly ScheduleConfig<ScheduleRegistry>[];
  const plan = Object.fromEntries(
    Object.entries(written).map(([path, given]) => {
      const place = memberPath(where, path);
      const all = isList(given) ? given.map((one, i) => make(one, `${place}[${i}]`)) : make(given, place);
      return [path, all];
    }),
  );
  checkSchedulePlan(plan, hyperparameters, where);
  return plan;
}
