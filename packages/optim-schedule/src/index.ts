export { checkSchedulePlan } from "./check-plan.ts";
export { byEpoch } from "./by-epoch.ts";
export type { ByGroup } from "./by-group.ts";
export { constant, type ConstantOptions } from "./constant.ts";
export { cosine, type CosineOptions, cosineRestarts, type CosineRestartsOptions } from "./cosine.ts";
export { cyclic, type CyclicOptions } from "./cyclic.ts";
export { custom } from "./custom.ts";
export { defineSchedule, type ScheduleDefinition } from "./define.ts";
export type { FloorOptions } from "./floor.ts";
export type { HyperparameterPath, WrapperPath } from "./hyperparameter.ts";
export { inverseSqrt, type InverseSqrtOptions } from "./inverse-sqrt.ts";
export { linear, type LinearOptions } from "./linear.ts";
export { oneCycle, type OneCycleOptions } from "./one-cycle.ts";
export { oneCycleMomentum, type OneCycleMomentumOptions } from "./one-cycle-momentum.ts";
export { polynomial, type PolynomialOptions } from "./polynomial.ts";
export { reduceOnPlateau, type ReduceOnPlateauOptions } from "./reduce-on-plateau.ts";
export {
  type NestedSchedule,
  type Schedule,
  type ScheduleCounts,
  type ScheduleFactory,
  type ScheduleGroup,
  type ScheduleOptions,
  type ScheduleOptionsRecord,
  type ScheduleState,
  valueAt,
} from "./schedule.ts";
export { sequence, type SequenceOptions } from "./sequence.ts";
export { createScheduler } from "./create-scheduler.ts";
export type { HyperparametersOf, SchedulePlan, Scheduler, SchedulerOptions } from "./scheduler.ts";
export { createSchedulerDict, type SchedulePlans, type SchedulerDict } from "./scheduler-dict.ts";
export {
  exponential,
  type ExponentialOptions,
  multiStep,
  type MultiStepOptions,
  step,
  type StepScheduleOptions,
} from "./step.ts";
export { warmupCosine, type WarmupCosineOptions } from "./warmup-cosine.ts";
export { wsd, type WsdOptions } from "./wsd.ts";
export type {
  PreparedSchedulerLoad,
  SavedHyperparameter,
  SavedJoining,
  SavedSchedule,
  SchedulerDictStateDict,
  SchedulerLoadOptions,
  SchedulerLoadReport,
  SchedulerStateDict,
} from "./state.ts";
