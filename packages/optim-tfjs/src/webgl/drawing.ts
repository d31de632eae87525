import type { CheckRequest, Program, StepClip } from "@mm/optim-core/backend";
import type { Ledger } from "../ops/ledger.ts";
import type { StepScalar } from "../scalar.ts";
import type { Canvas } from "./canvas.ts";
import type { RulePrograms } from "./programs.ts";

/** A step as the stages hand it over: all that is known before it is drawn, and `finite`, which the caller gets after. */
export interface DrawnStep {
  readonly request: CheckRequest;
  rescale: number;
  lossScale: StepScalar | undefined;
  clipGrad: StepClip | undefined;
  readonly norm: undefined;
  /** Set when it is drawn. */
  finite: StepScalar | undefined;
}

/** A step of which nothing but the request is known yet. */
export function stepOf(request: CheckRequest): DrawnStep {
  return {
    request,
    rescale: 1,
    lossScale: undefined,
    clipGrad: undefined,
    norm: undefined,
    finite: undefined,
  };
}

export interface Drawing {
  readonly canvas: Canvas;
  readonly ledger: Ledger;
  programs(program: Program): RulePrograms;
}
