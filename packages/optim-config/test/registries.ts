import * as rules from "@mm/optim-rules";
import {
  constant,
  cosine,
  cosineRestarts,
  exponential,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  reduceOnPlateau,
  step,
} from "@mm/optim-schedule";

/** Every rule of `@mm/optim-rules` that hyperparameters alone make. */
export const allRules = {
  adabelief: rules.adabelief,
  adadelta: rules.adadelta,
  adagrad: rules.adagrad,
  adam: rules.adam,
  adamax: rules.adamax,
  adamw: rules.adamw,
  adamwEpsilonHat: rules.adamwEpsilonHat,
  adan: rules.adan,
  ademamix: rules.ademamix,
  adopt: rules.adopt,
  asgd: rules.asgd,
  lamb: rules.lamb,
  laprop: rules.laprop,
  lars: rules.lars,
  lion: rules.lion,
  mars: rules.mars,
  marsLion: rules.marsLion,
  nadam: rules.nadam,
  nadamw: rules.nadamw,
  novograd: rules.novograd,
  radam: rules.radam,
  rmsprop: rules.rmsprop,
  rprop: rules.rprop,
  sgd: rules.sgd,
  sgdw: rules.sgdw,
  signum: rules.signum,
  stableAdamw: rules.stableAdamw,
  yogi: rules.yogi,
};

/** Every schedule of `@mm/optim-schedule` that JSON can say. */
const allSchedules = {
  constant,
  cosine,
  cosineRestarts,
  exponential,
  linear,
  multiStep,
  oneCycle,
  polynomial,
  reduceOnPlateau,
  step,
};

export const registries = { rules: allRules, schedules: allSchedules };
