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
  adan: rules.adan,
  asgd: rules.asgd,
  lamb: rules.lamb,
  lars: rules.lars,
  lion: rules.lion,
  nadam: rules.nadam,
  novograd: rules.novograd,
  radam: rules.radam,
  rmsprop: rules.rmsprop,
  rprop: rules.rprop,
  sgd: rules.sgd,
  signum: rules.signum,
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
