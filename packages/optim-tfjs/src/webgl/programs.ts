import { memo, type Program } from "@mm/optim-core/backend";
import type { Canvas } from "./canvas.ts";
import type { Linked } from "./surface.ts";
import {
  type DecisionKind,
  decisionSamplers,
  decisionSource,
  type RowLayout,
  rowLayout,
} from "./decision.ts";
import { type Layout, layoutFor, type Source } from "./layout.ts";
import { samplersOf, type UniformPlace, updateSource } from "./print.ts";
import { outputCount } from "./store.ts";

/** The place that knows the scalars of an update: the host all of them, all but the factor of the gradient, or only those that do not change. */
export type Knowledge = "all" | "but the factor" | "but the steps";

/** One draw of an update, and the outputs that it writes: 0 is the parameter, then slots, then the master. */
export interface UpdateDraw {
  readonly linked: Linked;
  readonly outputs: readonly number[];
}

/** The programs of WebGL that one program of a rule needs, linked as layouts turn up. */
export class RulePrograms {
  readonly row: RowLayout;
  readonly #program: Program;
  readonly #canvas: Canvas;
  readonly #draws = new Map<string, readonly UpdateDraw[]>();
  readonly #decisions = new Map<string, Linked>();

  constructor(canvas: Canvas, program: Program) {
    this.#canvas = canvas;
    this.#program = program;
    this.row = rowLayout(program);
  }

  /** The draws of an update whose inputs are laid out so: one, or several where the device writes fewer textures at once. */
  update(
    inputs: readonly Source[],
    width: number,
    knowledge: Knowledge,
    mayskip: boolean,
  ): readonly UpdateDraw[] {
    const layouts = inputs.map((input) => layoutFor(input, width));
    const key = `${knowledge} ${mayskip} ${layouts.join()}`;
    return memo(this.#draws, key, () => this.#link(layouts, knowledge, mayskip));
  }

  decision(kind: DecisionKind): Linked {
    const key = JSON.stringify(kind);
    return memo(this.#decisions, key, () =>
      this.#canvas.link(decisionSource(kind, this.#program), decisionSamplers(kind, true)),
    );
  }

  /** Where the uniforms of an update are. */
  places(knowledge: Knowledge): readonly UniformPlace[] {
    let index = 0;
    return this.#program.uniforms.map((source, uniform): UniformPlace => {
      if (knowledge !== "all" && source.from === "gradFactor") return { on: "record", element: "factor" };
      const element = knowledge === "but the steps" ? this.row.elements[uniform] : undefined;
      return element === undefined ? { on: "host", index: index++ } : { on: "record", element };
    });
  }

  /** Links what every step needs, to see whether the driver takes it. Throws what the driver says. */
  try(): void {
    const texture = {} as WebGLTexture;
    const packed = { texture, layout: "packed", width: 1 } as const;
    this.update(
      samplersOf(this.#program).map(() => packed),
      1,
      "all",
      false,
    );
  }

  #link(layouts: readonly Layout[], knowledge: Knowledge, mayskip: boolean): readonly UpdateDraw[] {
    const program = this.#program;
    const count = outputCount(this.#canvas.store, program);
    const most = this.#canvas.maxTargets;
    const samplers = [...samplersOf(program), ...(knowledge === "all" ? [] : ["record"])];
    const uniforms = this.places(knowledge);
    return Array.from({ length: Math.ceil(count / most) }, (_, part) => {
      const first = part * most;
      const outputs = Array.from({ length: Math.min(most, count - first) }, (__, index) => first + index);
      const source = updateSource({ program, layouts, uniforms, outputs, mayskip });
      return { linked: this.#canvas.link(source, samplers), outputs };
    });
  }
}
