import { adam } from "@mm/optim-rules";
import { checkSchedulePlan, constant } from "@mm/optim-schedule";
import { expect, test } from "vitest";

const { hyperparameters } = adam();
const half = constant({ factor: 0.5 });

test("a plan is checked without a wrapper", () => {
  expect(() => checkSchedulePlan({ lr: half, momentum: [half, half] }, hyperparameters)).not.toThrow();
  expect(() => checkSchedulePlan({ dampening: half }, hyperparameters, "plan")).toThrow(
    'plan: expected one of lr, betas[0], betas[1], eps, weightDecay, accumulativeCounts, got "dampening"',
  );
  expect(() => checkSchedulePlan({ momentum: half, "betas[0]": half }, hyperparameters, "plan")).toThrow(
    "plan.betas[0]: expected another hyperparameter than momentum",
  );
});
