import type { Capabilities } from "@mm/optim-core";
import { hostCapabilities } from "@mm/optim-core/backend";
import { learnDivision } from "../ops/division.ts";
import { byRule, OpsStages, opsStorage } from "../ops/engine.ts";
import { Ledger } from "../ops/ledger.ts";
import type { OpsEngine } from "../ops/ops-engine.ts";
import type { TensorCell } from "../ops/tensor-cell.ts";
import { differentiate, scaleLeft, seedOf } from "../gradients.ts";
import { Latch } from "../scalar.ts";
import { accumulate } from "./accumulate.ts";
import type { Canvas } from "./canvas.ts";
import { WebglStages } from "./stages.ts";

const capabilities: Capabilities = /* @__PURE__ */ (() =>
  Object.freeze({ ...hostCapabilities, decides: "device", inPlace: false, fused: true }))();

/** The engine of tfjs-webgl: that of ops, whose steps are draws of our own. Takes over one use of the canvas. */
export function webglEngine(canvas: Canvas, Stages: typeof WebglStages = WebglStages): OpsEngine {
  const latch = new Latch();
  const ledger = new Ledger();
  const ops = new OpsStages(latch, byRule, ledger);
  const stages = new Stages(canvas, ops, ledger);
  learnDivision();
  return {
    backend: "tfjs",
    capabilities,
    ...opsStorage(latch),
    // As they come: a draw of our own adds them.
    differentiate(loss, request) {
      latch.hold(request.lossScale);
      return differentiate(loss, request, seedOf(request));
    },
    accumulate({ accumulator, pending }, gradient, request) {
      accumulate(canvas, accumulator as TensorCell, gradient, scaleLeft(request), pending);
    },
    prepareProgram: (program) => stages.prepare(program),
    stages,
    dispose() {
      ops.dispose();
      canvas.release();
    },
  };
}
