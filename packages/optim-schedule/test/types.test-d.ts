import type { AnyOptimWrapper, OptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import type { AdamHyperparameters, SgdHyperparameters } from "@mm/optim-rules";
import { describe, expectTypeOf, test } from "vitest";
import {
  byEpoch,
  cosine,
  createScheduler,
  createSchedulerDict,
  custom,
  cyclic,
  type HyperparameterPath,
  linear,
  multiStep,
  oneCycle,
  reduceOnPlateau,
  type Schedule,
  type ScheduleFactory,
  type Scheduler,
  type SchedulerDict,
  sequence,
} from "@mm/optim-schedule";

// Two backends by their closures alone.
declare const generator: OptimWrapper<() => { readonly dtype: "float32" }, unknown, AdamHyperparameters>;
declare const discriminator: OptimWrapper<
  (call: { readonly scale: number }) => number,
  number,
  SgdHyperparameters
>;
declare const anyWrapper: AnyOptimWrapper;

const schedule = cosine({ length: 10 });

describe("paths", () => {
  test("are the numbers of a rule, and momentum where a rule has one", () => {
    expectTypeOf<HyperparameterPath<SgdHyperparameters>>().toEqualTypeOf<
      "lr" | "momentum" | "dampening" | "weightDecay"
    >();
    expectTypeOf<HyperparameterPath<AdamHyperparameters>>().toEqualTypeOf<
      "lr" | "momentum" | "betas[0]" | "betas[1]" | "eps" | "weightDecay"
    >();
  });
});

describe("a scheduler", () => {
  test("takes the hyperparameters that the rule has", () => {
    expectTypeOf(createScheduler(generator, { lr: schedule, momentum: schedule })).toEqualTypeOf<Scheduler>();
    createScheduler(generator, { "betas[1]": [linear({ length: 3 }), schedule] });
    createScheduler(discriminator, { weightDecay: custom((count, value) => value / (count + 1)) });
    createScheduler(generator, { accumulativeCounts: multiStep({ milestones: [3], gamma: 2 }) });
    // @ts-expect-error the count is not for schedules
    createScheduler(generator, { innerCount: schedule });
    // @ts-expect-error SGD has no betas
    createScheduler(discriminator, { "betas[0]": schedule });
    // @ts-expect-error Adam has two betas
    createScheduler(generator, { "betas[2]": schedule });
    // @ts-expect-error a switch is no number
    createScheduler(discriminator, { nesterov: schedule });
    // @ts-expect-error a factory is no schedule
    createScheduler(discriminator, { lr: cosine });
    // @ts-expect-error an optimizer must be wrapped
    createScheduler(generator.optimizer, {});
  });

  test("takes any name where the rule is not known, and checks it when it is made", () => {
    createScheduler(anyWrapper, { lr: schedule, "betas[1]": schedule });
    // @ts-expect-error what is scheduled is a schedule all the same
    createScheduler(anyWrapper, { lr: 0.1 });
  });

  test("counts what an update returns", () => {
    const scheduler = createScheduler(discriminator, { lr: schedule });
    scheduler.step(discriminator.updateParams(({ scale }) => scale));
    scheduler.step(discriminator.flush());
    // @ts-expect-error without the result nobody knows whether there was an update
    scheduler.step();
  });
});

describe("schedulers of a dict", () => {
  test("know its names, and of each the rule", () => {
    const optim = new OptimWrapperDict({ generator, discriminator });
    const schedulers = createSchedulerDict(optim, {
      generator: { "betas[1]": schedule },
      discriminator: { dampening: schedule },
    });
    expectTypeOf(schedulers).toEqualTypeOf<SchedulerDict<"generator" | "discriminator">>();
    expectTypeOf(schedulers.get("generator")).toEqualTypeOf<Scheduler>();
    // @ts-expect-error no such wrapper
    schedulers.get("critic");
    // @ts-expect-error no such wrapper
    createSchedulerDict(optim, { critic: { lr: schedule } });
    // @ts-expect-error Adam has no dampening
    createSchedulerDict(optim, { generator: { dampening: schedule } });
  });

  test("are made of any pairs", () => {
    createSchedulerDict(
      [
        ["generator", generator],
        ["discriminator", discriminator],
      ],
      {
        generator: { "betas[0]": schedule },
      },
    );
    const schedulers = createSchedulerDict(new Map([["a", anyWrapper]]), { a: { momentum: schedule } });
    expectTypeOf(schedulers).toEqualTypeOf<SchedulerDict>();
  });
});

test("options are those of the kind", () => {
  expectTypeOf(linear).toExtend<ScheduleFactory<{ readonly length: number }>>();
  expectTypeOf(schedule).toEqualTypeOf<Schedule>();
  // @ts-expect-error a line needs a length
  linear({ startFactor: 0.1 });
  // @ts-expect-error it is length
  linear({ length: 3, totalIters: 3 });
  // @ts-expect-error milestones are counts
  multiStep({ milestones: 3 });
  // @ts-expect-error "cos" or "linear"
  oneCycle({ length: 3, annealStrategy: "cosine" });
  cosine({ length: 3, etaMin: { head: 0.1 } });
  // @ts-expect-error a floor is a number
  cosine({ length: 3, etaMin: { head: "0.1" } });
  custom((_, value, group) => (group?.name === "head" ? value : 0));
  sequence([schedule, schedule], [3]);
  sequence({ schedules: [schedule, schedule], milestones: [3] });
  // @ts-expect-error a factory is no schedule
  sequence([cosine, schedule], [3]);
  // @ts-expect-error it is "expRange"
  cyclic({ baseRatio: 0.1, up: 3, mode: "exp_range" });
  expectTypeOf(byEpoch(schedule, 10)).toEqualTypeOf<Schedule>();
  // @ts-expect-error it counts measures, not updates or epochs
  reduceOnPlateau({ by: "epoch" });
  // @ts-expect-error updates or epochs
  cosine({ length: 3, by: "iteration" });
});
