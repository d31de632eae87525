import { checkpointStore, type Checkpoints } from "@mm/optim-checkpoint";
import type { OptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import type { Communicator } from "@mm/optim-distributed";
import type { AdamHyperparameters, SgdHyperparameters } from "@mm/optim-rules";
import type { Scheduler, SchedulerDict } from "@mm/optim-schedule";
import { type TfjsVariables, variablesState, type VariablesStateDict } from "@mm/optim-tfjs";
import {
  collectMetrics,
  createBatches,
  createRun,
  plainState,
  type MetricsSink,
  type Run,
} from "@mm/optim-train";
import { describe, expectTypeOf, test } from "vitest";

// Two backends by their closures alone.
declare const generator: OptimWrapper<() => { readonly dtype: "float32" }, unknown, AdamHyperparameters>;
declare const critic: OptimWrapper<(call: { readonly scale: number }) => number, number, SgdHyperparameters>;
declare const scheduler: Scheduler;
declare const schedulers: SchedulerDict<"generator" | "critic">;
declare const checkpoints: Checkpoints;
declare const ranks: Communicator;
declare const variables: TfjsVariables;

describe("a run of one wrapper", () => {
  const run = createRun({ optim: critic, schedulers: scheduler, store: checkpointStore(checkpoints), ranks });

  test("takes its closure, and gives iterations", async () => {
    expectTypeOf(run.update(({ scale }) => scale, { weight: 3 })).toEqualTypeOf<boolean>();
    expectTypeOf(run.skip()).toEqualTypeOf<boolean>();
    // @ts-expect-error a loss of another backend
    run.update(() => ({ dtype: "float32" }));
    // @ts-expect-error there are no names
    run.update("critic", () => 1);
    for await (const iteration of run) expectTypeOf(iteration).toEqualTypeOf<number>();
    expectTypeOf(await run.untimed(() => "a")).toEqualTypeOf<string>();
    expectTypeOf(run.use).parameter(0).toEqualTypeOf<typeof critic>();
  });
});

describe("a run of several", () => {
  const optim = new OptimWrapperDict({ generator, critic });
  const run = createRun({ optim, schedulers });

  test("takes a name, and the closure of that wrapper", () => {
    run.update("critic", ({ scale }) => scale);
    run.update("generator", () => ({ dtype: "float32" }));
    run.skip("critic");
    // @ts-expect-error the closure of the other
    run.update("generator", ({ scale }: { scale: number }) => scale);
    // @ts-expect-error no such wrapper
    run.update("discriminator", () => 1);
    // @ts-expect-error which one?
    run.update(() => 1);
    // @ts-expect-error no such wrapper
    run.skip("discriminator");
    expectTypeOf(run).toExtend<Run<typeof optim>>();
  });

  test("takes pairs, too", () => {
    const pairs = createRun({ optim: [["critic", critic]] as const });
    pairs.update("critic", () => 1);
    // @ts-expect-error no such wrapper
    pairs.update("generator", () => 1);
  });
});

test("options are checked", () => {
  // @ts-expect-error it is until
  createRun({ optim: critic, iterations: 3 });
  // @ts-expect-error a part has a state
  createRun({ optim: critic, state: { a: 3 } });
  createRun({ optim: critic, state: { batches: createBatches({ count: 3, size: 1 }), seen: plainState(0) } });
  // @ts-expect-error samples are counted
  createBatches({ size: 3 });
  expectTypeOf(plainState([1]).value).toEqualTypeOf<number[]>();
});

test("variables that no optimizer trains are part of a run", () => {
  const statistics = variablesState(variables);
  createRun({ optim: critic, state: { statistics } });
  expectTypeOf(statistics.stateDict()).resolves.toEqualTypeOf<VariablesStateDict>();
  // @ts-expect-error variables come in a list or by name
  variablesState(3);
});

test("sinks take what they need", () => {
  const sinks: readonly MetricsSink[] = [
    (step) => void step,
    async (_, { loss = 0 }) => Promise.resolve(void loss),
    (_, __, run) => void run?.until,
  ];
  createRun({ optim: critic, log: { to: sinks } });
});

test("metrics have names", async () => {
  expectTypeOf((await collectMetrics(critic)).lr).toEqualTypeOf<number>();
  const all = await collectMetrics(new OptimWrapperDict({ generator, critic }));
  expectTypeOf(all["generator.skipped"]).toEqualTypeOf<number>();
  expectTypeOf(all["critic.gradNorm"]).toEqualTypeOf<number | undefined>();
  expectTypeOf(all["critic.lr[0]"]).toEqualTypeOf<number | undefined>();
  expectTypeOf(all["critic.gradNorm[w]"]).toEqualTypeOf<number | undefined>();
  // @ts-expect-error there is no such wrapper
  void all["discriminator.lr"];
});
