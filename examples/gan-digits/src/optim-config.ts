import { readFileSync } from "node:fs";
import {
  buildOptimWrapperDict,
  buildSchedulerDict,
  joinModels,
  type OptimWrapperDictConfig,
  parseOptimWrapperDictConfig,
  type RuleName,
} from "@mm/optim-config";
import { adam, adamw, ema, lion, sgd } from "@mm/optim-rules";
import { constant, cosine, linear, multiStep, polynomial, step } from "@mm/optim-schedule";
import { UsageError } from "./errors.ts";
import type { Weights } from "./models.ts";
import { optimizerOn, type Ranks } from "./ranks.ts";

/** The names that a configuration may use. */
const rules = { adam, adamw, ema, lion, sgd };
const schedules = { constant, cosine, linear, multiStep, polynomial, step };

type Rule = RuleName<typeof rules>;
type Config = OptimWrapperDictConfig<
  typeof rules,
  { readonly generator: Rule; readonly discriminator: Rule },
  typeof schedules
>;

function parse(text: string): Config {
  const config = parseOptimWrapperDictConfig(JSON.parse(text), { rules, schedules });
  const names = Object.keys(config.wrappers).sort().join(" and ");
  if (names !== "discriminator and generator") {
    throw new UsageError(`expected wrappers named generator and discriminator, got ${names}`);
  }
  return config as Config;
}

/** The text of a configuration file, checked. @throws UsageError */
export function readOptimConfig(file: string): string {
  try {
    const text = readFileSync(file, "utf8");
    parse(text);
    return text;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--config ${file}: ${reason}`, { cause: error });
  }
}

/** Optimizers and schedulers from the text of a configuration. */
export function buildOptim(text: string, generator: Weights, discriminator: Weights, ranks?: Ranks) {
  const config = parse(text);
  const models = joinModels({ generator, discriminator });
  const optim = buildOptimWrapperDict(models, config, {
    optimizer: optimizerOn(ranks),
    rules,
    schedules,
  });
  return { optim, schedulers: buildSchedulerDict(optim, config, { schedules }) };
}
