import { readFileSync } from "node:fs";
import { referenceFactory } from "@mm/optim-conformance";
import { describe, expect, test } from "vitest";
import { type GoldenResult, parseGoldenFile, runGoldenCase } from "../src/index.ts";
import type { ModernCase } from "../src/modern/format.ts";
import { reasonToSkip } from "../src/modern/skipped.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const { meta, cases } = parseGoldenFile(JSON.parse(read("../golden/modern/optimizers.json")));
const all = cases as readonly ModernCase[];
const followed = all.filter((recorded) => reasonToSkip(recorded) === undefined);
const find = (name: string): ModernCase => all.find((recorded) => recorded.name === name) as ModernCase;
const run = (recorded: ModernCase): Promise<GoldenResult> =>
  runGoldenCase(recorded, meta, referenceFactory());

test.each(followed.map((recorded) => [recorded.name, recorded] as const))("%s", async (_, recorded) => {
  const result = await run(recorded);
  expect(result.failures).toEqual([]);
  // A parameter and a step at the least.
  expect(result.checks).toBeGreaterThanOrEqual(recorded.steps.length);
});

describe("a recording that is wrong", () => {
  const fails = async (name: string, edit: (copy: ModernCase) => void): Promise<string> => {
    const copy = structuredClone(find(name));
    edit(copy);
    const { status, failures } = await run(copy);
    expect(status).toBe("failed");
    return failures.join("\n");
  };
  const options = (copy: ModernCase): Record<string, unknown> => copy.optimizer.args;

  test("in one element of one step", async () => {
    const words = await fails("lamb/timm", ({ steps }) => {
      const after = steps[7]?.after["b1"] as number[];
      after[1] = (after[1] as number) + 1e-4;
    });
    expect(words).toMatch(/^steps\[7\]\.after\.b1: \[1\] expected /);
  });

  test("in a slot", async () => {
    const words = await fails("adan/timm", ({ finalStateDict }) => {
      const { neg_pre_grad: slot } = finalStateDict.state["0"] as unknown as {
        neg_pre_grad: { tensor: number[] };
      };
      slot.tensor[0] = -(slot.tensor[0] as number);
    });
    expect(words).toMatch(/^finalStateDict\.w1\.prev: \[0\] expected /);
  });

  // Every option counts: taken the other way, it fails.
  test.each([
    ["lamb/timm_no_clip", "trust_clip", false],
    ["lamb/timm_no_clip", "always_adapt", false],
    ["lamb/timm", "max_grad_norm", null],
    ["lamb/timm", "grad_averaging", false],
    ["adan/timm_no_prox", "no_prox", false],
    ["adabelief/timm_rectified", "rectify", false],
    ["adabelief/timm_plain", "rectify", true],
    ["novograd/timm_averaging", "grad_averaging", false],
    ["lars/timm_nesterov_clip", "trust_clip", false],
    ["lars/timm_nesterov_clip", "nesterov", false],
    ["adopt/timm_options", "decoupled", false],
    ["adopt/timm_options", "clip_exp", 0.333],
    ["mars/timm_lion", "lr_1d_factor", 1],
    ["mars/timm", "mars_type", "lion"],
    ["mars/author_adamw", "weight_decay_1d", 0],
    ["ademamix/warmup", "alpha_warmup", 0],
    ["ademamix/warmup", "beta3_warmup", 0],
    ["stableadamw/decoupled_lr", "decouple_lr", false],
    ["adamw/c_optim_uncorrected", "correct_bias", true],
    ["adamw/timm_cautious", "caution", false],
    ["lion/author_cautious", "cautious_factor", 0.5],
    ["sam/sgd", "rho", 0.1],
    ["sam/sgd", "adaptive", true],
    ["sam/adaptive_adamw", "adaptive", false],
    ["prodigy/decay_growth", "growth_rate", 1.2],
    ["prodigy/decay_growth", "weight_decay", 0],
    ["prodigy/coupled_bias_correction", "use_bias_correction", false],
    ["prodigy/coupled_bias_correction", "safeguard_warmup", false],
    ["prodigy/coupled_bias_correction", "decouple", true],
    ["dadaptation/adam_decoupled", "decouple", false],
    ["dadaptation/adam_decoupled", "d0", 1e-3],
    ["dadaptation/sgd", "momentum", 0.5],
    ["adamp/author", "delta", 0],
    ["adamp/author_layer", "wd_ratio", 1],
    ["adamp/timm_cautious", "caution", false],
    ["sgdp/author", "nesterov", true],
    ["muon/timm_adamuon", "algo", "muon"],
    ["mars/author_shampoo_float32", "gamma", 0],
    ["schedulefree/adamw_warmup_decay", "warmup_steps", 0],
    ["schedulefree/adamw_weighting", "r", 0],
    ["schedulefree/adamw_weighting", "weight_lr_power", 2],
    ["schedulefree/adamw_inner_momentum", "inner_momentum", 0],
    ["schedulefree/sgd_decay_warmup", "warmup_steps", 0],
    ["schedulefree/sgd_decay_warmup", "momentum", 0.9],
    ["schedulefree/radam_sgd_phase", "silent_sgd_phase", true],
  ])("%s with %s taken as %j", async (name, option, value) => {
    const words = await fails(name, (copy) => (options(copy)[option] = value));
    expect(words).toMatch(/after|perturbed|scalars/);
  });

  test("in a point at which the model is evaluated, and in a number of a group", async () => {
    const point = await fails("schedulefree/adamw_toggled", ({ steps }) => {
      const eval_ = steps[7]?.eval?.["b1"] as number[];
      eval_[1] = (eval_[1] as number) + 1e-4;
    });
    expect(point).toMatch(/^steps\[7\]\.eval\.b1: \[1\] expected /);
    const weight = await fails("schedulefree/radam", ({ steps }) => {
      const scalars = steps[8]?.scalars?.[0] as { weight_sum: number };
      scalars.weight_sum *= 1.001;
    });
    expect(weight).toMatch(/^steps\[8\]\.scalars\[0\]\.weight_sum: w1: /);
    const mean = await fails("average/swa", (copy) => Object.assign(copy, { average: { every: 2 } }));
    expect(mean).toMatch(/averaged/);
  });

  test("in its count of steps: a group's goes on for a tensor without a gradient", async () => {
    for (const name of ["lamb/timm", "stableadamw/default", "adan/timm"]) {
      const words = await fails(name, (copy) => Object.assign(copy, { stepCounter: "tensor" }));
      expect(words).toMatch(/after\.w1/);
    }
  });
});

describe("what is not followed", () => {
  const page = read("../../../docs/decisions/0080-recordings-of-other-libraries.md");

  test.each(
    all.filter((recorded) => !followed.includes(recorded)).map((recorded) => [recorded.name, recorded]),
  )("%s is skipped, with its class and the record that says why", async (_, recorded) => {
    const result = await run(recorded);
    expect(result).toMatchObject({ status: "skipped", checks: 0 });
    expect(result.reason).toContain(recorded.optimizer.type);
    expect(result.reason).toContain("0080-recordings-of-other-libraries");
  });

  test.each([
    ["madgrad:MADGRAD", "MADGRAD"],
    ["sophia:SophiaG", "SophiaG"],
    ["dadaptation:DAdaptLion", "D-Adaptation"],
  ])("%s is left out, and the record names it", (type, word) => {
    const recorded = { ...find("lion/timm"), optimizer: { type, args: {} } };
    expect(reasonToSkip(recorded)).toContain("left out");
    expect(page).toContain(word);
  });

  test("a class that nobody knows is no rule yet", () => {
    const recorded = { ...find("lion/timm"), optimizer: { type: "somebody:Something", args: {} } };
    expect(reasonToSkip(recorded)).toContain("not a rule yet");
  });

  test.each([
    ["lamb/timm", { caution: true }],
    ["adan/timm", { caution: true }],
    ["lars/timm_nesterov_clip", { dampening: 0.1 }],
    ["adopt/timm", { caution: true, weight_decay: 0.1 }],
    ["prodigy/default", { slice_p: 2 }],
    ["prodigy/default", { lr: 0 }],
    ["lion/timm", { corrected_weight_decay: true }],
  ] as const)("%s with %j has no counterpart", (name, more) => {
    const recorded = find(name);
    const { type, args } = recorded.optimizer;
    expect(reasonToSkip({ ...recorded, optimizer: { type, args: { ...args, ...more } } })).toBeDefined();
  });
});
