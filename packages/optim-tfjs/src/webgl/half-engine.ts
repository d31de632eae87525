import { type CheckRequest, masterSlot, type Program, refuse } from "@mm/optim-core/backend";
import { advanceOnDevice, type AdvanceOnDevice, floorOnGpu, TfjsLossScaler } from "../ops/loss-scaler.ts";
import type { OpsEngine, OpsParameter } from "../ops/ops-engine.ts";
import { checkAlive, describeVariable } from "../parameters.ts";
import { scoped } from "../scope.ts";
import { tensorOf, writeVariable } from "../transfer.ts";
import type { Canvas } from "./canvas.ts";
import { accumulate } from "./accumulate.ts";
import { drawSum } from "./sum.ts";
import { nextScale } from "./decision.ts";
import { stepOf } from "./drawing.ts";
import { webglEngine } from "./engine.ts";
import type { Item } from "./lanes.ts";
import { RecordedScalar } from "./records.ts";
import { WebglStages } from "./stages.ts";
import type { Releases } from "./surface.ts";
import { WordCell, type WordPlane } from "./word-cell.ts";
import type { WordStore } from "./word-store.ts";

/**
 * The engine of tfjs-webgl where textures are half floats: parameters have float32 masters, and masters, slots, accumulators and scalars are
 * in a store of words. Each step is drawn, but for those on another backend. Takes over one use of the canvas.
 */
export function halfEngine(canvas: Canvas, store: WordStore): OpsEngine {
  // Norms are measured by the host, from what is read: by ops they would be half floats.
  const { readNorms: _byOps, ...engine } = webglEngine(canvas, HalfStages);
  const write = (cell: WordCell, data: Float32Array): void => {
    const { value, length } = cell.parameter;
    if (length === 0) return;
    cell.hold(store.write(value.shape, data));
    // A master follows its variable: where that holds its rounding, and nowhere else, it stays.
    cell.rounded = undefined;
  };
  const allocated = (parameter: OpsParameter, plane: () => WordPlane): WordCell => {
    const { length, value } = parameter;
    if (length === 0)
      return scoped(() => new WordCell(store, parameter, tensorOf(new Float32Array(), value.shape)));
    const cell = new WordCell(store, parameter);
    cell.hold(plane());
    return cell;
  };
  return {
    ...engine,
    capabilities: Object.freeze({ ...engine.capabilities, float32State: true }),
    describe: (variable, where) => ({ ...describeVariable(variable, where), master: true }),
    allocate: (parameter, initial) => allocated(parameter, () => store.fill(parameter.value.shape, initial)),
    allocateCopy(parameter) {
      checkAlive([{ parameter }]);
      if (!parameter.slots.has(masterSlot)) return new WordCell(store, parameter);
      const master = canvas.active ? store.master(parameter) : undefined;
      if (master === undefined) return scoped(() => new WordCell(store, parameter, parameter.value));
      const parts = [{ source: master, scale: 1 }];
      return allocated(parameter, () => drawSum(canvas, store, parameter.value.shape, parts));
    },
    write: (cell, data) => write(cell as WordCell, data),
    read: (cells) => store.read(cells),
    readParameters: (parameters) =>
      store.read(
        parameters.map((parameter) => parameter.slots.get(masterSlot) ?? new WordCell(store, parameter)),
      ),
    writeParameter(parameter, data) {
      const { slots } = parameter as OpsParameter;
      const master = slots.get(masterSlot) ?? new WordCell(store, parameter);
      slots.set(masterSlot, master);
      writeVariable(parameter.value, data);
      write(master as WordCell, data);
      if (canvas.active) store.assigned({ parameter });
    },
    // A window's share of a gradient is multiplied in when it is added, in float32: a third is no half float, and a loss scale is one.
    differentiate: (loss, request) => engine.differentiate(loss, { ...request, scale: 1 }),
    accumulate({ accumulator, pending }, gradient, { scale }) {
      accumulate(canvas, accumulator as WordCell, gradient, scale, pending);
    },
    createLossScaler: (settings) => new TfjsLossScaler(settings, advanceByDraw(canvas, store)),
  };
}

/** A step whose update is drawn without a question to the gradients. */
const unasked: CheckRequest = {
  normType: undefined,
  finite: false,
  ignoreNonFinite: false,
  orThrow: false,
  lossScaler: undefined,
};

class HalfStages extends WebglStages {
  override prepare(program: Program): void {
    if (this.programsOf(program) !== undefined) return;
    refuse(
      "unsupported",
      `tfjsOptimizer: ${program.label}`,
      "an update of one pass over elements, where textures of tfjs-webgl are half floats",
      "one that reduces rows, columns or tensors, or that this driver does not take",
      {
        hint: 'Take a rule without norms and matrices, or { lowering: "ops" }, which runs it in half floats: its state too',
      },
    );
  }

  protected override isDrawn(items: readonly Item[], { normType }: CheckRequest): boolean {
    if (!this.#draws(items)) return false;
    if (normType !== undefined && normType !== 2 && normType !== Number.POSITIVE_INFINITY) {
      refuse(
        "unsupported",
        "step: clipGrad.normType",
        "2 or Infinity, where textures of tfjs-webgl are half floats",
        normType,
      );
    }
    return true;
  }

  override run(items: readonly Item[]): void {
    checkAlive(items);
    if (this.#draws(items)) this.draw(items, stepOf(unasked), false);
    else super.run(items);
  }

  /** On another backend ops do it, and variables are masters there. */
  #draws(items: readonly Item[]): boolean {
    if (this.canvas.active) return items.some(({ parameter }) => parameter.length > 0);
    for (const { parameter } of items) {
      const master = parameter.slots.get(masterSlot) as WordCell;
      const { plane, rounded } = master;
      if (plane !== undefined && rounded?.dataId === parameter.value.dataId)
        writeVariable(parameter.value, (this.canvas.store as WordStore).readNow(plane));
      master.dispose();
    }
    return false;
  }
}

/** The state machine of core's `LossScaler` in one draw: half floats hold no scale above 65504, and no count above 2048. */
function advanceByDraw(canvas: Canvas, store: WordStore): AdvanceOnDevice {
  return (settings, from) => {
    if (!canvas.active) return advanceOnDevice(settings, from);
    const { growthFactor, backoffFactor, growthInterval, minScale } = settings;
    return scoped(() => {
      const releases: Releases = [];
      const state = store.gather(
        [from.scale, from.growthTracker, from.finite].map((scalar, element) => ({ row: 0, element, scalar })),
        1,
        releases,
      );
      const linked = canvas.link(
        `uniform planeSampler state;
uniform vec4 scaler;
layout(location = 0) out planeTexel out0;
${nextScale}
void main() {
  vec4 before = fetchPlane(state, ivec2(0));
  out0 = toPlane(vec4(nextScale(before.xy, before.z, scaler), 0.0, 0.0));
}`,
        ["state"],
      );
      const plane = store.make([2, 2]);
      canvas.begin();
      canvas.draw({
        linked,
        inputs: [state],
        outputs: [plane],
        set: (gl, { location }) =>
          gl.uniform4f(location("scaler"), growthFactor, backoffFactor, growthInterval, floorOnGpu(minScale)),
      });
      canvas.end();
      for (const release of releases) release();
      const records = store.records(plane);
      return {
        scale: new RecordedScalar(records, 0, 0),
        growthTracker: new RecordedScalar(records, 0, 1),
      };
    });
  };
}
