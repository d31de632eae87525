// The part of `pnpm kernels` that knows packages.
import {
  hyperparameterEntries,
  printProgram,
  type Program,
  structureOf,
  traceRule,
} from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import * as rules from "@mm/optim-rules";
import { programKernels } from "@mm/optim-webgpu/host";
import { traceEvaluation } from "../packages/optim-core/src/backend/program/evaluation.ts";
import { programText } from "../packages/optim-wasm/src/kernel/text.ts";

export type TextKind = "program" | "wgsl" | "wat";

/** The texts that `kinds` ask for, of the rule that `@mm/optim-rules` exports under this name. */
export function textsOf(
  name: string,
  hyperparameters: string,
  kinds: readonly TextKind[],
): readonly string[] {
  const { definition, hyperparameters: chosen } = ruleOf(name, hyperparameters);
  const structure = structureOf(definition, hyperparameterEntries(chosen));
  const point = traceEvaluation(definition, structure);
  const program = traceRule(definition, structure, { clipValue: false, zeroNonFinite: false });
  const texts = {
    program: printProgram,
    wgsl: (each: Program) =>
      programKernels(each)
        .map(({ label, code }) => `// ${label}\n${code.trim()}\n`)
        .join("\n"),
    wat: programText,
  };
  const programs = point === undefined ? [program] : [program, point];
  return kinds.flatMap((kind) => programs.map((each) => texts[kind](each)));
}

function ruleOf(name: string, hyperparameters: string): UpdateRule {
  const factory = Object.hasOwn(rules, name) ? (rules as Readonly<Record<string, unknown>>)[name] : undefined;
  let rule: Partial<UpdateRule> | undefined;
  if (takesHyperparameters(factory)) rule = factory(JSON.parse(hyperparameters) as object);
  if (rule?.kind !== "update-rule")
    throw new Error(`no rule is called ${name}: packages/optim-rules/src/index.ts names them, as adamw`);
  return rule as UpdateRule;
}

/** Whether it takes hyperparameters, all of which have defaults. A combinator refuses them: it takes a rule, or an optimizer. */
function takesHyperparameters(factory: unknown): factory is (chosen: object) => Partial<UpdateRule> {
  if (typeof factory !== "function") return false;
  try {
    return (factory as (chosen: object) => Partial<UpdateRule> | undefined)({})?.kind === "update-rule";
  } catch {
    return false;
  }
}
