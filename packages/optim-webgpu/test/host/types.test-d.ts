import type { Optimizer } from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import { adam } from "@mm/optim-rules";
import {
  copyGradients,
  createEngine,
  type HostGradients,
  type ParameterPort,
  recordGradients,
  type WebgpuEngine,
  type WebgpuLoss,
} from "@mm/optim-webgpu/host";
import { expectTypeOf, test } from "vitest";

interface Cell {
  readonly buffer: GPUBuffer;
}
declare const device: GPUDevice;
declare const port: ParameterPort<Cell>;
declare const cell: Cell;
declare const run: () => HostGradients<Cell, { readonly loss: number }>;
const rule = adam();

test("an engine is of the parameters that its port knows", () => {
  const engine = createEngine({ backend: "cells", device, port });
  expectTypeOf(engine).toEqualTypeOf<WebgpuEngine<Cell>>();
  expectTypeOf(engine.members().describe).parameter(0).toEqualTypeOf<Cell>();
});

test("members and a way to differentiate are a whole engine", () => {
  const engine = createEngine({ backend: "cells", device, port });
  const recorded = createOptimizer(
    "cellsOptimizer",
    {
      ...engine.members(),
      differentiate: (loss: WebgpuLoss, request) => recordGradients(engine, loss, request),
    },
    rule,
    { cell },
  );
  expectTypeOf(recorded).toExtend<Optimizer<WebgpuLoss, undefined>>();
  const copied = createOptimizer(
    "cellsOptimizer",
    { ...engine.members(), differentiate: (_: () => void, request) => copyGradients(engine, request, run) },
    rule,
    { cell },
  );
  expectTypeOf(copied.backward(() => {}, { returnLoss: true })).toEqualTypeOf<
    { readonly loss: number } | undefined
  >();
  // @ts-expect-error: members alone do not know how to differentiate
  createOptimizer("cellsOptimizer", engine.members(), rule, { cell });
});

test("what does not compile", () => {
  // @ts-expect-error: no name for errors to begin with
  createEngine({ device, port });
  // @ts-expect-error: a port says whether its parameters move
  const still: ParameterPort<Cell> = { describe: port.describe, resolve: port.resolve };
  void still;
  const engine = createEngine({ backend: "cells", device, port });
  // @ts-expect-error: the seed is written by the engine alone
  engine.seed = { buffer: cell.buffer, offset: 0, size: 4 };
  // @ts-expect-error: a host's gradients lie in buffers
  const gradients: HostGradients<Cell, undefined>["gradients"] = [[cell, new Float32Array(1)]];
  void gradients;
});
