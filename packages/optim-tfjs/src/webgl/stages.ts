import {
  type Checked,
  type CheckRequest,
  memo,
  type Program,
  type StepStages,
  type StepClip,
} from "@mm/optim-core/backend";
import type * as tf from "@tensorflow/tfjs-core";
import type { Ledger } from "../ops/ledger.ts";
import type { TensorCell } from "../ops/tensor-cell.ts";
import { checkAlive } from "../parameters.ts";
import type { StepScalar } from "../scalar.ts";
import { scoped } from "../scope.ts";
import type { Canvas } from "./canvas.ts";
import { type DrawnStep, stepOf } from "./drawing.ts";
import type { Item } from "./lanes.ts";
import { RulePrograms } from "./programs.ts";
import { samplersOf } from "./print.ts";
import { drawStep } from "./step.ts";

/** Whether a program is one pass over elements, whose scalars know nothing of the tensor. */
const isElementwise = ({ passes, slotAxes, scalars }: Program): boolean =>
  passes.length === 1 &&
  slotAxes.every((axes) => axes === 3) &&
  !scalars.some(({ op }) => op === "size" || op === "rows" || op === "cols");

type Stages = StepStages<tf.Variable, TensorCell, StepScalar>;

/**
 * The stages as draws of our own: one a parameter, and where the device decides one more for each accumulator, one that folds, and one
 * for each set of parameters with the same scalars. An update that cannot be drawn (a rule of several passes, or that reads the size of a tensor; another backend is active) goes through
 * tfjs ops: any step may go either way, since both keep parameters and state in tensors of tfjs.
 */
export class WebglStages implements Stages {
  protected readonly canvas: Canvas;
  readonly #ops: Stages;
  readonly #ledger: Ledger;
  readonly #programs = new WeakMap<Program, RulePrograms | { readonly refused: true }>();
  /** The step that is being put together; absent where it goes through ops. */
  #step: DrawnStep | undefined;

  constructor(canvas: Canvas, ops: Stages, ledger: Ledger) {
    this.canvas = canvas;
    this.#ops = ops;
    this.#ledger = ledger;
  }

  /** Links what a rule needs, where its steps can be drawn. */
  prepare(program: Program): void {
    this.programsOf(program);
  }

  /** The programs of a rule, linked when it is first seen; `undefined` where its steps cannot be drawn. */
  programsOf(program: Program): RulePrograms | undefined {
    const found = memo(this.#programs, program, () => {
      try {
        const programs = new RulePrograms(this.canvas, program);
        if (isElementwise(program) && samplersOf(program).length < this.canvas.maxSamplers) {
          programs.try();
          return programs;
        }
      } catch {
        // The driver does not take it: ops do.
      }
      return { refused: true } as const;
    });
    return found instanceof RulePrograms ? found : undefined;
  }

  check(items: readonly Item[], request: CheckRequest): Checked<StepScalar> {
    this.#step = undefined;
    checkAlive(items);
    if (!this.isDrawn(items, request)) return this.#ops.check(items, request);
    this.#step = stepOf(request);
    return this.#step;
  }

  unscale(rescale: number, lossScale: StepScalar | undefined): StepScalar {
    if (this.#step === undefined) return this.#ops.unscale(rescale, lossScale);
    Object.assign(this.#step, { rescale, lossScale });
    return rescale;
  }

  clip(factor: StepScalar, checked: Checked<StepScalar>, clipGrad: StepClip | undefined): StepScalar {
    if (this.#step === undefined) return this.#ops.clip(factor, checked, clipGrad);
    this.#step.clipGrad = clipGrad;
    return factor;
  }

  update(
    items: readonly Item[],
    factor: StepScalar,
    checked: Checked<StepScalar>,
    clipGrad: StepClip | undefined,
  ): void {
    const step = this.#step;
    this.#step = undefined;
    if (step === undefined) return this.#ops.update(items, factor, checked, clipGrad);
    this.draw(items, step);
  }

  /** Whether the step of these items is drawn. Else it goes through ops. */
  protected isDrawn(items: readonly Item[], _request: CheckRequest): boolean {
    return (
      this.canvas.active &&
      items.some(({ parameter }) => parameter.length > 0) &&
      items.every(
        ({ parameter, program }) =>
          // A variable that its group gives another shape is read as it is.
          parameter.shape.length === parameter.value.shape.length && this.programsOf(program) !== undefined,
      )
    );
  }

  protected draw(items: readonly Item[], step: DrawnStep, counts = true): void {
    const programs = (program: Program): RulePrograms => this.programsOf(program) as RulePrograms;
    scoped(() => drawStep({ canvas: this.canvas, ledger: this.#ledger, programs }, items, step, counts));
  }

  /** By ops: to put a slot into a parameter costs no draw, since tensors change hands. */
  run(items: readonly Item[]): void {
    this.#ops.run(items);
  }

  readMetrics(): ReturnType<Stages["readMetrics"]> {
    return this.#ops.readMetrics();
  }

  writeCounts(counts: { readonly steps: number; readonly skipped: number }): void {
    this.#ops.writeCounts(counts);
  }
}
