import { createOptimWrapper } from "@mm/optim-core";
import {
  constant,
  cosine,
  cosineRestarts,
  createScheduler,
  exponential,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  type Schedule,
  step,
} from "@mm/optim-schedule";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import type { SchedulerCase, TorchOptimizer } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";
import { camelCase } from "../torch.ts";

/** MMEngine's parameter schedulers: one update of a wrapper between two rows. */
export async function runScheduler<P, Loss extends LossClosure, LossValue>(
  { scheduler, param, lr, momentum, groupLrs, rows, getLr }: SchedulerCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const names = groupLrs.map((_, index) => `p${index}`);
  const subject = new RecordedSubject(
    bench,
    { type: "SGD", args: { lr, momentum } },
    names.map((name, index) => ({ params: [name], options: { lr: groupLrs[index] as number } })),
    Object.fromEntries(names.map((name) => [name, { shape: [1], data: [0] }])),
  );
  const wrapper = createOptimWrapper(subject.optimizer);
  const schedule = createScheduler(wrapper, { [param]: scheduleOf(scheduler) });
  const gradients = Object.fromEntries(names.map((name) => [name, [1]]));
  for (const [index, row] of rows.entries()) {
    if (index > 0) schedule.step(wrapper.updateParams(subject.loss(gradients)));
    const { paramGroups, baseParamSettings } = wrapper;
    const values = [...paramGroups, ...(baseParamSettings ? [baseParamSettings] : [])].map(
      (group) => (group as unknown as Readonly<Record<string, number>>)[param] as number,
    );
    checks.hyperparameter(`rows[${index}]`, values, row);
    checks.hyperparameter(`getLr[${index}].lr`, wrapper.getLr().lr, getLr[index]?.lr);
    checks.hyperparameter(`getLr[${index}].base_lr`, wrapper.getLr().baseLr, getLr[index]?.base_lr);
  }
  wrapper.dispose();
  subject.dispose();
  return checks;
}

/** MMEngine's "for ever". */
const endless = 1e9;

/** Our schedule for a scheduler of MMEngine: `StepLR`, `StepMomentum`, `StepParamScheduler`. */
function scheduleOf({ type, args }: TorchOptimizer): Schedule {
  const { begin = 0, end = endless, ...others } = args as Readonly<Record<string, number>>;
  const options = Object.fromEntries(
    Object.entries(others)
      .filter(([name, value]) => !notOptions.has(name) && (value as unknown) !== null)
      .map(([name, value]) => [camelCase(name), value]),
  );
  const make = makers[type.replace(/(LR|Momentum|ParamScheduler)$/, "")] as Maker | undefined;
  if (make === undefined) throw new Error(`no schedule for ${type}`);
  // A scheduler of MMEngine acts from `begin` until before `end`: the last change is at end − 1.
  return make({ ...options, begin, length: end - begin - 1 });
}

const notOptions: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "by_epoch",
  "param_name",
  "last_step",
  "verbose",
]);

type Maker = (options: object) => Schedule;

interface Acting {
  readonly begin: number;
  readonly length: number;
}

const makers: Readonly<Record<string, (options: never) => Schedule>> = {
  Constant: ({ factor = 1 / 3, ...options }: Acting & { readonly factor?: number }) =>
    constant({ ...options, factor }),
  Linear: linear,
  Step: step,
  MultiStep: multiStep,
  Exponential: exponential,
  // Their default is end − begin, one more than the counts between the first value and the last.
  CosineAnnealing: ({ TMax, ...options }: Acting & { readonly TMax?: number }) =>
    cosine({ ...options, tMax: TMax ?? options.length + 1 }),
  // After the last period they keep the last value, which is one count short of the floor.
  CosineRestart({ periods, ...options }: Acting & { readonly periods: readonly number[] }) {
    const all = periods.reduce((sum, period) => sum + period, 0);
    return cosineRestarts({ ...options, periods, length: Math.min(options.length, all - 1) });
  },
  Poly: polynomial,
  // Theirs has its peak at pctStart × totalSteps − 1, of totalSteps − 1 counts.
  OneCycle({ totalSteps, pctStart = 0.3, ...options }: Acting & OneCycle) {
    const total = totalSteps ?? options.length + 1;
    return oneCycle({ ...options, length: total - 1, pctStart: (pctStart * total - 1) / (total - 1) });
  },
};

interface OneCycle {
  readonly totalSteps?: number;
  readonly pctStart?: number;
}
