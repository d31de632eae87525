import { testOptimizer } from "@mm/optim-conformance";
import { createOptimWrapper, OptimError, type OptimErrorCode, type Optimizer } from "@mm/optim-core";
import { createOptimizer } from "@mm/optim-core/backend";
import { adam, sgd } from "@mm/optim-rules";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import {
  bufferPort,
  createEngine,
  type ParameterPort,
  recordGradients,
  type WebgpuBackward,
  type WebgpuLoss,
} from "@mm/optim-webgpu/host";
import { expect, test } from "vitest";
import { refusal, thrownBy } from "../../../../test-support/refusal.ts";
import { countDevice } from "../support/counted.ts";
import { withLimits } from "../support/limits.ts";
import { openDevice } from "../support/node.ts";
import { refusalsOf } from "../support/refusals.ts";
import { bufferOf, Cell, cellPort, cellsOptimizer, tapeOptimizer } from "./cells-optimizer.ts";
import { cellsFactory, tapeFactory } from "./factories.ts";

const device = await openDevice();
const counted = countDevice(device);
const refusals = refusalsOf(device);
const cells = cellsFactory(device, counted);
const tape = tapeFactory(device, counted);

testOptimizer({ test, factory: cells });
testOptimizer({ test, factory: tape });

test("the device refused nothing of all that", async () => {
  await device.queue.onSubmittedWorkDone();
  expect(refusals).toEqual([]);
});

const cell = (...values: number[]): Cell => new Cell(device, Float32Array.from(values), [values.length]);
const gradientOf = (parameter: Cell, ...values: number[]) => [
  { name: "w", parameter, gradient: Float32Array.from(values) },
];

test("the backend has the name of the plugin, and core's own errors do", () => {
  const optimizer = cellsOptimizer(sgd(), { w: cell(1) }, device);
  expect(optimizer.backend).toBe("cells");
  expect(optimizer.createLossScaler("dynamic").backend).toBe("cells");
  expect(optimizer.capabilities.decides).toBe("device");
  const wrapper = createOptimWrapper(optimizer);
  expect(wrapper.backend).toBe("cells");
  expect(thrownBy(() => createOptimWrapper(optimizer)).message).toMatch(
    /^cells optimizer: createOptimWrapper: /,
  );
});

const asks = (loss: (pass: WebgpuBackward) => unknown): WebgpuLoss => loss as WebgpuLoss;

test.each<
  readonly [string, OptimErrorCode, RegExp, (optimizer: Optimizer<WebgpuLoss, undefined>) => unknown]
>([
  [
    "a closure that asks for what is no parameter",
    "unknown-parameter",
    /^cells optimizer: backward: grad: /,
    (optimizer) => optimizer.backward(({ grad }) => void grad("v")),
  ],
  [
    "a closure that returns something",
    "invalid-loss",
    /^cells optimizer: backward: loss: /,
    (optimizer) => optimizer.backward(asks(() => 1)),
  ],
  [
    "a gradient that is asked for too late",
    "invalid-loss",
    /^cells optimizer: backward: grad: /,
    (optimizer) => {
      let late: () => unknown = () => undefined;
      optimizer.backward(({ grad }) => {
        grad("w");
        late = () => grad("w");
      });
      late();
    },
  ],
  [
    "commands of a closure that the device refuses",
    "device-error",
    /^cells optimizer: backward: /,
    (optimizer) => {
      optimizer.backward(({ encoder, grad }) => encoder.clearBuffer(grad("w").buffer, 0, 1 << 20));
      return optimizer.readMetrics();
    },
  ],
  [
    "a gradient that is not finite, where that is an error",
    "non-finite-gradient",
    /^cells optimizer: a step /,
    async (optimizer) => {
      optimizer.writeGradients({ w: Float32Array.of(Number.NaN) });
      optimizer.step({ onNonFinite: "throw" });
      await optimizer.readMetrics();
    },
  ],
  [
    "a loss scaler after its end",
    "disposed",
    /^cells LossScaler.update: /,
    (optimizer) => {
      const scaler = optimizer.createLossScaler("dynamic");
      scaler.dispose();
      scaler.update();
    },
  ],
])("%s is refused under the name of the plugin", async (_, code, message, use) => {
  const error = await refusal(() => use(cellsOptimizer(sgd(), { w: cell(1) }, device)));
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
});

test("a loss scaler of another device, a buffer that is gone, and too many slots: the same", async () => {
  const another = await openDevice();
  const optimizer = cellsOptimizer(sgd(), { w: cell(1) }, device);
  const lossScaler = cellsOptimizer(
    sgd(),
    { w: new Cell(another, Float32Array.of(1), [1]) },
    another,
  ).createLossScaler(2);
  optimizer.writeGradients({ w: Float32Array.of(1) });
  expect(thrownBy(() => optimizer.step({ lossScaler })).message).toMatch(/^cells optimizer: lossScaler: /);

  const gone = cell(1);
  const reading = tapeOptimizer(sgd(), { gone }, device);
  gone.buffer.destroy();
  expect((await refusal(() => reading.readParameters())).message).toMatch(/^tape optimizer: read: /);

  const small = withLimits(another, { maxStorageBuffersPerShaderStage: 4 });
  const w = new Cell(small, Float32Array.of(1), [1]);
  const { code, message } = thrownBy(() => tapeOptimizer(adam(), { w }, small));
  expect(code).toBe("unsupported");
  expect(message).toMatch(/^tape optimizer: Adam: expected at most 1 slots.*got 2/);
});

test("a lost device is reported under the name of whoever asked", async () => {
  const gone = await openDevice();
  const w = new Cell(gone, Float32Array.of(1), [1]);
  const optimizer = cellsOptimizer(sgd(), { w }, gone);
  const other = webgpuOptimizer(sgd(), createArena(gone, { w: 1 }), { device: gone });
  const waiting = [optimizer.readParameters(), other.readParameters()];
  gone.destroy();
  const errors = await Promise.all(waiting.map((read) => refusal(() => read)));
  expect(errors.map(({ code }) => code)).toEqual(["device-lost", "device-lost"]);
  expect(errors[0]?.message).toMatch(/^cells optimizer: /);
  expect(errors[1]?.message).toMatch(/^webgpu optimizer: /);
  expect(thrownBy(() => optimizer.backward(() => undefined)).message).toMatch(/^cells optimizer: /);
  expect(thrownBy(() => createArena(gone, { w: 1 })).message).toMatch(/^createArena: /);
});

test("options that are no engine's are refused", () => {
  const port = bufferPort(device);
  const valid = { backend: "cells", device, port };
  const messages = [
    { ...valid, backend: 1 },
    { ...valid, device: undefined },
    { ...valid, port: { ...port, moves: undefined } },
    { ...valid, adapter: undefined },
  ].map((options) => thrownBy(() => createEngine(options as never)).message);
  expect(messages).toEqual([
    "createEngine: options.backend: expected a string, got 1",
    "createEngine: options.device: expected a GPUDevice, got undefined",
    "createEngine: options.port: expected a ParameterPort, { describe, resolve, moves }, got [object Object]",
    expect.stringMatching(/^createEngine: options: expected one of .*, got "adapter"/),
  ]);
  const request = { parameters: [], scale: 1, lossScale: undefined, returnLoss: false, stepFollows: false };
  const { message } = thrownBy(() => recordGradients({} as never, () => undefined, request));
  expect(message).toMatch(/^recordGradients: engine: expected what createEngine gave/);
});

test("a port may refuse parameters before a step; then nothing has changed", async () => {
  const w = cell(5);
  const refused = new OptimError("invalid-parameter", "cells: w", { expected: "a cell that is mine" });
  let refuses = false;
  const port: ParameterPort<Cell> = {
    ...cellPort(device),
    claim() {
      if (refuses) throw refused;
    },
  };
  const engine = createEngine({ backend: "cells", device, port });
  const optimizer = createOptimizer(
    "cellsOptimizer",
    { ...engine.members(), differentiate: () => ({ value: undefined, gradients: [] }) },
    sgd({ lr: 1, momentum: 0.9 }),
    { w },
  );
  optimizer.writeGradients({ w: Float32Array.of(2) });
  refuses = true;
  expect(thrownBy(() => optimizer.step())).toBe(refused);
  expect(thrownBy(() => optimizer.writeParameters({ w: Float32Array.of(1) }))).toBe(refused);
  refuses = false;
  expect(await optimizer.readParameters()).toEqual({ w: Float32Array.of(5) });
  expect(await optimizer.readGradients()).toEqual({ w: Float32Array.of(2) });
  optimizer.step();
  // 5 − 1 × 2
  expect(await optimizer.readParameters()).toEqual({ w: Float32Array.of(3) });
});

test("a cell that is assigned between two steps is stepped where it then is", async () => {
  const w = cell(1, 1);
  const optim = createOptimWrapper(tape.createOptimizer(sgd({ lr: 1 }), { w }));
  optim.updateParams(tape.linearLoss(gradientOf(w, 1, 2)));
  w.assign(device, Float32Array.of(10, 10));
  optim.updateParams(tape.linearLoss(gradientOf(w, 1, 2)));
  // 10 − 1, 10 − 2
  expect(await optim.optimizer.readParameters()).toEqual({ w: Float32Array.of(9, 8) });
});

test("a loss that throws in the copies frees what the library made, and leaves nothing pending", async () => {
  const w = cell(1);
  const optimizer = tapeOptimizer(sgd({ lr: 1 }), { w }, device);
  const released: boolean[] = [];
  const before = counted.alive.buffers;
  const source = { buffer: bufferOf(device, Float32Array.of(1)), offset: Symbol("no number") as never };
  const run = (): void =>
    void optimizer.backward(() => ({
      value: () => Promise.resolve(0),
      gradients: new Map([[w, source]]),
      release: () => released.push(true),
    }));
  expect(run).toThrow(TypeError);
  expect(released).toEqual([true]);
  expect(counted.alive.buffers).toBe(before);
  expect(await optimizer.readGradients()).toEqual({});
});
