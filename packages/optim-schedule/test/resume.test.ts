import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createScheduler, type Schedule, type Scheduler, type SchedulerStateDict } from "@mm/optim-schedule";
import { kinds } from "./arbitrary.ts";
import { batch, wrapTwo } from "./wrappers.ts";

type Wrapper = ReturnType<typeof wrapTwo>;

/** The events of a run. */
type Event = "update" | "half a window" | "epoch" | "rewind" | { readonly measure: number };

const event = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<Event>("update", "half a window") },
  { weight: 2, arbitrary: fc.constantFrom<Event>("epoch", "rewind") },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 3 }).map((measure): Event => ({ measure })) },
);

function happen(event: Event, wrapper: Wrapper, scheduler: Scheduler): void {
  if (event === "epoch") scheduler.stepEpoch();
  else if (event === "rewind") scheduler.rewind(Math.min(1, scheduler.updates));
  else if (event === "half a window") scheduler.step(wrapper.updateParams(batch));
  else if (typeof event === "object") scheduler.observe(event.measure);
  else {
    while (!wrapper.shouldSync()) scheduler.step(wrapper.updateParams(batch));
    scheduler.step(wrapper.updateParams(batch));
  }
}

async function picture(wrapper: Wrapper, scheduler: Scheduler) {
  const { paramGroups, baseParamSettings, innerCount } = wrapper;
  return {
    groups: [...paramGroups, baseParamSettings].map((group) => [group?.lr, group?.momentum]),
    innerCount,
    parameters: await wrapper.optimizer.readParameters(),
    state: scheduler.stateDict(),
  };
}

/** Two schedules of each of these kinds: of the run that is interrupted, and of the one that loads it. */
const twoPlans = fc
  .array(fc.constantFrom(...Object.keys(kinds)), { minLength: 1, maxLength: 3 })
  .chain((names) => {
    const schedules = (): fc.Arbitrary<Schedule[]> =>
      fc.tuple(...names.map((name) => kinds[name] as fc.Arbitrary<Schedule>));
    return fc.tuple(schedules(), schedules());
  });

test("any schedules, resumed anywhere, go on as if nothing had happened", async () => {
  await fc.assert(
    fc.asyncProperty(
      twoPlans,
      fc.array(event, { minLength: 1, maxLength: 60 }),
      fc.nat(),
      async ([lr, changed], events, cut) => {
        const begin = (schedules: readonly Schedule[]) => {
          const wrapper = wrapTwo({ accumulativeCounts: 2 });
          return { wrapper, scheduler: createScheduler(wrapper, { lr: schedules, momentum: schedules }) };
        };
        const whole = begin(lr);
        const first = begin(lr);
        const at = cut % events.length;
        for (const one of events.slice(0, at)) {
          happen(one, whole.wrapper, whole.scheduler);
          happen(one, first.wrapper, first.scheduler);
        }
        const parameters = await first.wrapper.optimizer.readParameters();
        const saved = await first.wrapper.stateDict();
        const schedule = JSON.parse(JSON.stringify(first.scheduler.stateDict())) as SchedulerStateDict;

        // Changes of the program do not matter: the saved schedules go on.
        const second = begin(changed);
        second.wrapper.optimizer.writeParameters(parameters);
        await second.wrapper.loadStateDict(saved);
        second.scheduler.loadStateDict(schedule);
        expect(await picture(second.wrapper, second.scheduler)).toEqual(
          await picture(whole.wrapper, whole.scheduler),
        );
        for (const one of events.slice(at)) {
          happen(one, whole.wrapper, whole.scheduler);
          happen(one, second.wrapper, second.scheduler);
          expect(await picture(second.wrapper, second.scheduler)).toEqual(
            await picture(whole.wrapper, whole.scheduler),
          );
        }
      },
    ),
  );
});

test("a closed form needs nothing but counts: any of them can be asked for, and written, first", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(kinds)).chain((name) => kinds[name] as fc.Arbitrary<Schedule>),
      fc.nat(80),
      (schedule, count) => {
        const wrapper = wrapTwo();
        const scheduler = createScheduler(wrapper, { lr: schedule });
        const asked = scheduler.at({ updates: count, epochs: 2 });
        for (let update = 0; update < count; update += 1) scheduler.step({ updated: true });
        scheduler.stepEpoch();
        scheduler.stepEpoch();
        expect(asked).toEqual({ lr: wrapper.getLr().lr });
      },
    ),
  );
});
