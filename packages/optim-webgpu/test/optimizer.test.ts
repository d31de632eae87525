import {
  type BaseHyperparameters,
  createOptimWrapper,
  type OptimErrorCode,
  type OptimWrapper,
} from "@mm/optim-core";
import {
  add,
  defineUpdateRule,
  sub,
  type Tensor,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { OptimWrapperDict } from "@mm/optim-dict";
import { adam, sam, samAscent, sgd } from "@mm/optim-rules";
import {
  createArena,
  webgpuOptimizer,
  type WebgpuBinding,
  type WebgpuLoss,
  type WebgpuOptimizer,
  type WebgpuParameters,
} from "@mm/optim-webgpu";
import { beforeAll, describe, expect, test } from "vitest";
import { webgpuFactory } from "./factory.ts";
import { countDevice } from "./support/counted.ts";
import { thrownBy } from "../../../test-support/refusal.ts";
import { withLimits } from "./support/limits.ts";
import { openDevice } from "./support/node.ts";
import { readFloats, storageBuffer } from "./support/read.ts";

let device: GPUDevice;
beforeAll(async () => {
  device = await openDevice();
});

/** Names are any: those of the types are tested in types.test-d.ts. */
const optimizerOf = <H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  parameters: WebgpuParameters,
): WebgpuOptimizer<string, H> => webgpuOptimizer(rule, parameters, { device });

const floats = (...values: number[]): Float32Array => Float32Array.from(values);
const buffer = (...values: number[]): GPUBuffer => storageBuffer(device, floats(...values));

/** Records a shader with these bindings, from 0 on. */
function recorder(
  code: string,
): (encoder: GPUCommandEncoder, resources: readonly GPUBufferBinding[]) => void {
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  return (encoder, resources) => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
  };
}

/** loss = Σ (p − 1)² ÷ 2: the gradient is p − 1. */
function bowl(names: Readonly<Record<string, GPUBufferBinding>>): WebgpuLoss {
  const record = recorder(`
    @group(0) @binding(0) var<storage, read> p: array<f32>;
    @group(0) @binding(1) var<storage, read_write> g: array<f32>;
    @group(0) @binding(2) var<storage, read> scale: f32;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
      if (i < arrayLength(&g)) { g[i] = scale * (p[i] - 1f); }
    }`);
  return ({ encoder, grad, scale }) => {
    for (const [name, p] of Object.entries(names)) record(encoder, [p, grad(name), scale]);
  };
}

/** Gradients of 1 × scale. */
function slope(...names: string[]): WebgpuLoss {
  const record = recorder(`
    @group(0) @binding(0) var<storage, read_write> g: array<f32>;
    @group(0) @binding(1) var<uniform> scale: f32;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
      if (i < arrayLength(&g)) { g[i] = scale; }
    }`);
  return ({ encoder, grad, scale }) => {
    for (const name of names) record(encoder, [grad(name), scale]);
  };
}

const descent = (lr = 1): UpdateRule => sgd({ lr });
const read = async (optimizer: {
  readParameters(): Promise<Readonly<Record<string, Float32Array>>>;
}): Promise<Readonly<Record<string, Float32Array>>> => ({ ...(await optimizer.readParameters()) });

describe("parameters", () => {
  test("ranges of a buffer at any offset, of any length: nothing beside them is touched", async () => {
    const values = Float32Array.from({ length: 400 }, (_, index) => index);
    const all = storageBuffer(device, values);
    const ranges = {
      // Not at a multiple of 16 bytes, and of odd length; one element; none; and one that begins at 256 bytes.
      odd: { buffer: all, offset: 4, length: 7 },
      one: { buffer: all, offset: 40, length: 1 },
      none: { buffer: all, offset: 44, length: 0 },
      aligned: { buffer: all, offset: 256, length: 64 },
      tail: { buffer: all, offset: 1400 },
    };
    const optimizer = optimizerOf(descent(1000), ranges);
    expect(optimizer.parameters.map(({ shape }) => shape)).toEqual([[7], [1], [0], [64], [50]]);
    optimizer.backward(slope(...Object.keys(ranges)));
    optimizer.step();
    const trained = (index: number): boolean =>
      (index >= 1 && index < 8) || index === 10 || (index >= 64 && index < 128) || index >= 350;
    expect(await readFloats(device, { buffer: all })).toEqual(
      values.map((value, index) => (trained(index) ? value - 1000 : value)),
    );
    expect(await optimizer.readMetrics()).toMatchObject({ steps: 1 });
  });

  test("some of an arena: the others stay, and the padding is zero", async () => {
    const arena = createArena(device, { a: 3, b: 5, c: 1 });
    const optimizer = webgpuOptimizer(adam({ lr: 1 }), { c: arena.c, a: arena.a }, { device });
    optimizer.backward(slope("a", "c") as WebgpuLoss<"a" | "c">);
    optimizer.step();
    const all = await readFloats(device, { buffer: arena.a.buffer });
    // The first step of Adam is the learning rate, in the other direction.
    const moved = [...all.entries()].filter(([, value]) => value !== 0);
    expect(moved.map(([index]) => index)).toEqual([0, 1, 2, 128]);
    for (const [, value] of moved) expect(value).toBeCloseTo(-1, 6);
  });

  test("more tensors than a dispatch has workgroups in one dimension", { timeout: 300_000 }, async () => {
    const count = 70_000;
    const names = Array.from({ length: count }, (_, index) => `p${index}`);
    const arena = createArena(device, Object.fromEntries(names.map((name) => [name, 1])));
    const optimizer = optimizerOf(descent(), arena);
    const ones = Object.fromEntries(names.map((name) => [name, floats(1)]));
    optimizer.writeGradients(ones);
    optimizer.step({ gradNorm: true });
    const { gradNorm } = await optimizer.readMetrics();
    expect(gradNorm).toBeCloseTo(Math.sqrt(count), 2);
    const trained = await optimizer.readParameters();
    expect(names.every((name) => trained[name]?.[0] === -1)).toBe(true);
    optimizer.dispose();
  });

  test("several chunks, reads of several buffers", async () => {
    // 4 KiB a buffer, 1 KiB a binding: 256 elements a chunk.
    const limits = { maxStorageBufferBindingSize: 1024, maxBufferSize: 4096 };
    const small = withLimits(await openDevice(), limits);
    const arena = createArena(small, { a: 200, b: 200, c: 256, d: 7, e: 1 });
    const optimizer = webgpuOptimizer(adam({ lr: 1 }), arena as WebgpuParameters, { device: small });
    const gradients = Object.fromEntries(
      Object.entries({ a: 200, b: 200, c: 256, d: 7, e: 1 }).map(([name, length]) => [
        name,
        new Float32Array(length).fill(length),
      ]),
    );
    optimizer.writeGradients(gradients);
    optimizer.step({ gradNorm: true, clipGrad: { maxNorm: 1e6 } });
    const { gradNorm } = await optimizer.readMetrics();
    // √(2 · 200³ + 256³ + 7³ + 1)
    expect(gradNorm).toBeCloseTo(Math.sqrt(2 * 200 ** 3 + 256 ** 3 + 7 ** 3 + 1), 1);
    for (const [name, values] of Object.entries(await read(optimizer))) {
      expect([name, values.length]).toEqual([name, gradients[name]?.length]);
      for (const value of values) expect(value).toBeCloseTo(-1, 5);
    }
    const state = await optimizer.stateDict();
    expect(state.params.map(({ slots }) => slots["expAvg"]?.length)).toEqual([200, 200, 256, 7, 1]);
  });

  test("a parameter above the binding limit is refused with the limit and the adapter's own value", () => {
    const { maxStorageBufferBindingSize } = device.limits;
    expect(maxStorageBufferBindingSize).toBe(2 ** 27);
    const limits = { maxStorageBufferBindingSize: 2 ** 31, maxBufferSize: 2 ** 32 };
    const adapter = { limits } as unknown as GPUAdapter;
    // Nothing is allocated for it.
    const error = thrownBy(() => createArena(device, { w: 2 ** 25 + 1 }, { adapter }));
    expect(error.code).toBe("invalid-parameter");
    expect(error.message).toMatch(
      /maxStorageBufferBindingSize 134217728.*got 134217732.*adapter.*2147483648/,
    );
  });

  test("without the adapter the refusal says where to look; a range that begins beside an alignment takes more", async () => {
    const small = withLimits(await openDevice(), { maxStorageBufferBindingSize: 1024 });
    const all = storageBuffer(small, new Float32Array(300));
    const of = (offset: number, length: number) => () =>
      webgpuOptimizer(descent(), { w: { buffer: all, offset, length } }, { device: small });
    expect(of(0, 256)().capabilities.maxParameterLength).toBe(256);
    expect(thrownBy(of(0, 257)).message).toMatch(/1024 bytes.*got 1028.*limits of its adapter/);
    // It is bound from the multiple of 256 below.
    expect(thrownBy(of(4, 256)).message).toMatch(/got 1028/);
  });

  const refusals: readonly (readonly [string, OptimErrorCode, () => unknown])[] = [
    ["no buffer", "invalid-parameter", () => ({ w: new Float32Array(1) })],
    ["an offset within a word", "invalid-parameter", () => ({ w: { buffer: buffer(1, 2), offset: 2 } })],
    ["more than the buffer holds", "invalid-parameter", () => ({ w: { buffer: buffer(1, 2), length: 3 } })],
    ["a broken length", "invalid-parameter", () => ({ w: { buffer: buffer(1, 2), length: 0.5 } })],
    [
      "a length beyond its size",
      "invalid-parameter",
      () => ({ w: { buffer: buffer(1, 2), length: 2, size: 4 } }),
    ],
    [
      "a key that is not known",
      "unknown-option",
      () => ({ w: { buffer: buffer(1, 2), offset: 4, lenght: 1 } }),
    ],
    ["another dtype", "invalid-parameter", () => ({ w: { buffer: buffer(1), dtype: "bfloat16" } })],
    [
      "a buffer that cannot be read",
      "invalid-parameter",
      () => ({ w: device.createBuffer({ size: 4, usage: 0x0080 }) }),
    ],
    [
      "overlapping ranges",
      "duplicate-parameter",
      () => {
        const all = buffer(1, 2, 3);
        return { v: { buffer: all, length: 2 }, w: { buffer: all, offset: 4, length: 2 } };
      },
    ],
    [
      "one range twice",
      "duplicate-parameter",
      () => {
        const all = buffer(1, 2, 3);
        return { v: { buffer: all, length: 3 }, w: all };
      },
    ],
  ];
  test("what the device and the adapter are not is refused under the name of the option", () => {
    const w = buffer(1);
    const messages = [
      () => webgpuOptimizer(descent(), { w }, undefined as never),
      () => webgpuOptimizer(descent(), { w }, { device: {} as never }),
      () => webgpuOptimizer(descent(), { w }, { device, adapter: null as never }),
      () => webgpuOptimizer(descent(), { w }, { device, queue: device.queue } as never),
      () => createArena(null as never, { w: 1 }),
      () => createArena(device, { w: 1 }, { dtype: "float64" as never }),
      () => createArena(device, { w: -1 }),
      () => createArena(device, [] as never),
    ].map((run) => thrownBy(run).message);
    expect(messages).toEqual([
      "webgpuOptimizer: options: expected an object, got undefined",
      "webgpuOptimizer: options.device: expected a GPUDevice, got [object Object]",
      "webgpuOptimizer: options.adapter: expected a GPUAdapter, got null",
      'webgpuOptimizer: options: expected one of device, adapter, slotDtype, got "queue"',
      "createArena: device: expected a GPUDevice, got null",
      'createArena: options.dtype: expected "float32" or "float16", got "float64"',
      "createArena: lengths.w: expected an integer of at least 0, got -1",
      "createArena: lengths: expected an object, got []",
    ]);
  });

  test("ranges that overlap are named with their bytes", () => {
    const all = buffer(1, 2, 3);
    const overlapping = { v: { buffer: all, length: 2 }, w: { buffer: all, offset: 4, length: 2 } };
    expect(thrownBy(() => optimizerOf(descent(), overlapping)).message).toMatch(
      /parameter "w": expected no element that is in "v" too, which ends at byte 8, got "one that begins at byte 4/,
    );
  });

  test.each(refusals)("%s is refused, and nothing is left behind", async (_, code, parameters) => {
    const device = await openDevice();
    const given = parameters();
    const counted = countDevice(device);
    expect(thrownBy(() => webgpuOptimizer(descent(), given as WebgpuParameters, { device })).code).toBe(code);
    expect(counted.alive.buffers).toBe(0);
  });

  test.each<readonly [string, OptimErrorCode, unknown]>([
    ["no options", "invalid-option", undefined],
    ["no device", "invalid-option", {}],
    ["a device that is none", "invalid-option", { device: {} }],
    ["another option", "unknown-option", { device: { createBuffer() {} }, gpu: 1 }],
  ])("%s: refused", (_, code, options) => {
    expect(
      thrownBy(() => webgpuOptimizer(descent(), { w: buffer(1) }, options as { device: GPUDevice })).code,
    ).toBe(code);
  });

  test.each<readonly [string, OptimErrorCode, unknown, unknown]>([
    ["no lengths", "invalid-option", null, {}],
    ["nothing", "empty-parameters", {}, {}],
    ["half an element", "invalid-option", { w: 0.5 }, {}],
    ["another option", "unknown-option", { w: 1 }, { slots: 2 }],
    ["another dtype", "invalid-option", { w: 1 }, { dtype: "int8" }],
  ])("createArena of %s: refused", (_, code, lengths, options) => {
    expect(thrownBy(() => createArena(device, lengths as { w: number }, options as object)).code).toBe(code);
  });

  test("a group that overlaps is refused when it is added; another keeps counts and state", async () => {
    const all = buffer(0, 0, 0, 0);
    const optimizer = optimizerOf(adam(), { w: { buffer: all, length: 2 } });
    const lossScaler = optimizer.createLossScaler(8);
    const train = (...names: string[]): void => {
      optimizer.backward(slope(...names), { lossScaler });
      optimizer.step({ lossScaler });
      optimizer.zeroGrad();
      lossScaler.update();
    };
    train("w");
    expect(thrownBy(() => optimizer.addParamGroup({ params: { v: { buffer: all, offset: 4 } } })).code).toBe(
      "duplicate-parameter",
    );
    optimizer.addParamGroup({ params: { v: { buffer: all, offset: 8 } }, lr: 0.5 });
    train("w", "v");
    const { params, steps } = await optimizer.stateDict();
    expect([steps, ...params.map(({ step }) => step)]).toEqual([2, 2, 1]);
    const [w, , v] = await readFloats(device, { buffer: all });
    expect(w).toBeCloseTo(-0.002, 6);
    expect(v).toBeCloseTo(-0.5, 6);
    lossScaler.dispose();
  });
});

describe("rules", () => {
  const many: UpdateRuleFactory<{ lr: number; all: boolean }> = defineUpdateRule({
    name: "Many",
    hyperparameters: { lr: 1, all: true },
    slots: ({ all }) =>
      Object.fromEntries(["a", "b", "c", "d", "e", ...(all ? ["f"] : [])].map((n) => [n, 0])),
    update({ param, grad, ...others }, _, { all }) {
      const inputs = others as unknown as Record<string, Tensor>;
      const slots = Object.keys(inputs).filter((name) => name.length === 1);
      const next = Object.fromEntries(slots.map((name) => [name, add(inputs[name] as Tensor, grad)]));
      return { param: sub(param, all ? (next["f"] as Tensor) : grad), ...next };
    },
  });

  test("as many slots as the device binds, and no more: 8 storage buffers, 3 of which are not slots", async () => {
    const parameters = { w: buffer(0) };
    expect(thrownBy(() => webgpuOptimizer(many(), parameters, { device })).code).toBe("unsupported");
    const optimizer = optimizerOf(many({ all: false }), parameters);
    expect(() => {
      optimizer.paramGroups[0].all = true;
    }).toThrow(/at most 5 slots.*maxStorageBuffersPerShaderStage/s);
    optimizer.backward(slope("w"));
    optimizer.step();
    expect((await optimizer.stateDict()).params[0]?.slots["e"]).toEqual(floats(1));
    // Master weights take one more.
    const half = { w: { buffer: buffer(0), dtype: "float16" } } as const;
    expect(() => webgpuOptimizer(many({ all: false }), half, { device })).toThrow(/at most 4 slots/);
  });

  test.each([false, true])(
    "SAM: the closure sees the parameters where it has climbed to, and they come back; adaptive: %j",
    async (adaptive) => {
      const p = { w: buffer(4, 1), b: buffer(-2) };
      const ascent = optimizerOf(samAscent({ rho: 0.5, adaptive }), p);
      const optimizer = sam(optimizerOf(descent(0.5), p), ascent);
      const optim = createOptimWrapper(optimizer, { lossScale: 1024 });
      const loss = bowl({ w: { buffer: p.w }, b: { buffer: p.b } });
      // g = θ − 1. Further on, by ρg ÷ ‖g‖ or ρθ²g ÷ ‖θg‖, it is g + that: θ becomes θ − ½ (g + that).
      let values = [4, 1, -2];
      for (let i = 0; i < 5; i += 1) {
        optim.updateParams(loss);
        const factors = values.map((x) => (adaptive ? x : 1));
        const norm = Math.hypot(...values.map((x, k) => (factors[k] as number) * (x - 1)));
        values = values.map((x, k) => x - 0.5 * (1 + (0.5 * (factors[k] as number) ** 2) / norm) * (x - 1));
      }
      const { w, b } = await read(optimizer);
      for (const [index, value] of [...(w as Float32Array), ...(b as Float32Array)].entries()) {
        expect(value).toBeCloseTo(values[index] as number, 5);
      }
      optim.dispose();
    },
  );

  test.each([false, true])(
    "SAM: nothing climbs along a gradient that is not finite; adaptive: %j",
    async (adaptive) => {
      const parameters = { w: buffer(0, 4), b: buffer(-2) };
      const ascent = optimizerOf(samAscent({ adaptive }), parameters);
      for (const value of [Infinity, NaN]) {
        ascent.writeGradients({ w: floats(value, 1), b: floats(1) });
        ascent.step({ rescale: 2 ** 40, clipGrad: { maxNorm: 1 } });
        expect(await read(ascent)).toEqual({ w: floats(0, 4), b: floats(-2) });
      }
      ascent.dispose();
    },
  );
});

describe("loss closures", () => {
  test("gradients begin as zeros, each is one binding, and of its own length", async () => {
    const optimizer = optimizerOf(descent(), { w: buffer(5, 5, 5), n: buffer(0) });
    const bindings: WebgpuBinding[] = [];
    const loss: WebgpuLoss = ({ grad }) => {
      bindings.push(grad("w"), grad("w"));
    };
    optimizer.writeGradients({ w: floats(9, 9, 9) });
    optimizer.zeroGrad();
    optimizer.backward(loss);
    optimizer.step();
    optimizer.zeroGrad();
    optimizer.backward(loss);
    expect(new Set(bindings).size).toBe(1);
    expect(bindings[0]).toMatchObject({ size: 12 });
    expect((bindings[0] as WebgpuBinding).offset % 256).toBe(0);
    expect((await read(optimizer))["w"]).toEqual(floats(5, 5, 5));
    expect((await optimizer.stateDict()).params.map(({ step }) => step)).toEqual([1, 0]);
  });

  test("inside a window gradients have a range of their own, and are added", async () => {
    const optimizer = optimizerOf(descent(), { w: buffer(0, 0) });
    const seen = new Set<WebgpuBinding>();
    const [loss, onto] = [slope("w"), bowl({ w: { buffer: buffer(3, 5) } })];
    const watched =
      (inner: WebgpuLoss): WebgpuLoss =>
      (pass) => {
        seen.add(pass.grad("w"));
        return inner(pass);
      };
    for (let window = 0; window < 2; window += 1) {
      optimizer.zeroGrad();
      for (const each of [loss, onto, loss]) optimizer.backward(watched(each), { scale: 2 });
    }
    expect(seen.size).toBe(2);
    // 2 · (1 + (p − 1) + 1)
    expect((await optimizer.readGradients())["w"]).toEqual(floats(2 * 4, 2 * 6));
  });

  test("of a frozen parameter the gradient is dropped", async () => {
    const optimizer = optimizerOf(descent(), { v: buffer(1), w: buffer(1) });
    optimizer.freeze(["v"]);
    optimizer.backward(slope("v", "w"));
    optimizer.step();
    expect(await read(optimizer)).toEqual({ v: floats(1), w: floats(0) });
    expect(Object.keys(await optimizer.readGradients())).toEqual(["w"]);
  });

  test("one that throws leaves nothing: no gradient, no latched scale, no buffer", async () => {
    const own = await openDevice();
    const { linearLoss, createParameter } = webgpuFactory(own, { name: "own", home: "buffers" });
    const counted = countDevice(own);
    const w = createParameter(floats(1), [1]);
    const optimizer = webgpuOptimizer(descent(), { w } as WebgpuParameters, { device: own });
    const before = counted.alive;
    const loss = linearLoss([{ name: "w", parameter: w, gradient: floats(1) }]);
    const lossScaler = optimizer.createLossScaler(4);
    expect(() =>
      optimizer.backward(
        (pass) => {
          loss(pass);
          throw new RangeError("of the closure");
        },
        { lossScaler },
      ),
    ).toThrow(RangeError);
    expect(await optimizer.readGradients()).toEqual({});
    lossScaler.dispose();
    expect(counted.alive).toEqual(before);
    optimizer.backward(loss);
    expect((await optimizer.readGradients())["w"]).toEqual(floats(1));
  });

  test("one that asks for what is no parameter is told the names", () => {
    const optimizer = optimizerOf(descent(), { w: buffer(1), b: buffer(1) });
    const error = thrownBy(() => optimizer.backward(({ grad }) => void grad("v")));
    expect([error.code, error.message]).toEqual([
      "unknown-parameter",
      'webgpu optimizer: backward: grad: expected one of w, b, got "v"',
    ]);
  });

  test.each<readonly [string, OptimErrorCode, (pass: { grad(name: string): unknown }) => unknown]>([
    ["returns a number", "invalid-loss", () => 1],
    ["returns a promise", "invalid-loss", () => Promise.reject(new Error("never seen"))],
  ])("one that %s is refused", (_, code, loss) => {
    const optimizer = optimizerOf(descent(), { w: buffer(1) });
    expect(thrownBy(() => optimizer.backward(loss as WebgpuLoss)).code).toBe(code);
  });

  test("asking for a gradient later is refused", () => {
    const optimizer = optimizerOf(descent(), { w: buffer(1) });
    let late: (() => unknown) | undefined;
    optimizer.backward(({ grad }) => {
      grad("w");
      late = () => grad("w");
    });
    expect(thrownBy(() => late?.()).code).toBe("invalid-loss");
  });

  test("what the device refuses of a closure rejects the next read, once", async () => {
    const optimizer = optimizerOf(descent(), { w: buffer(1) });
    optimizer.backward(({ encoder, grad }) => {
      grad("w");
      encoder.beginComputePass(); // and never ends it
    });
    await expect(optimizer.readMetrics()).rejects.toMatchObject({ code: "device-error" });
    await optimizer.readMetrics();
    optimizer.backward(({ encoder, grad }) => {
      encoder.copyBufferToBuffer(grad("w").buffer, 0, grad("w").buffer, 0, 1);
    });
    await expect(optimizer.stateDict()).rejects.toThrow(/backward: .*device accepts/);
    await optimizer.stateDict();
  });

  test("a wrapper's update submits once, and never keeps anything back", async () => {
    const own = await openDevice();
    const arena = createArena(own, { w: 1 });
    const optim = createOptimWrapper(webgpuOptimizer(descent(), arena as WebgpuParameters, { device: own }));
    const counted = countDevice(own);
    optim.updateParams(({ encoder, grad }) => {
      grad("w");
      encoder.clearBuffer(arena.w.buffer);
    });
    expect(counted.counts.submits).toBe(1);
    // A backward alone is not held back.
    optim.backward(({ grad }) => {
      grad("w");
    });
    expect(counted.counts.submits).toBe(2);
    // A closure without a gradient is an error, although its passes were recorded.
    expect(thrownBy(() => optim.updateParams(() => undefined)).code).toBe("no-gradient");
    await own.queue.onSubmittedWorkDone();
  });
});

describe("loss scaling", () => {
  /** The `scale` that a closure gets. */
  async function seeds(
    optim: OptimWrapper<WebgpuLoss, undefined>,
    weights: readonly number[],
  ): Promise<number[]> {
    const found = storageBuffer(device, new Float32Array(weights.length));
    const fill = slope("w");
    for (const [index, weight] of weights.entries()) {
      const loss: WebgpuLoss = (pass) => {
        fill(pass);
        pass.encoder.copyBufferToBuffer(pass.scale.buffer, pass.scale.offset, found, 4 * index, 4);
      };
      optim.updateParams(loss, { weight });
    }
    return [...(await readFloats(device, { buffer: found }))];
  }

  test("the seed is scale × loss scale, whatever either does", async () => {
    const scale = { initScale: 16, growthFactor: 2, growthInterval: 2 };
    const optim = createOptimWrapper(optimizerOf(descent(0), { w: buffer(0) }), {
      lossScale: scale,
      accumulativeCounts: 2,
    });
    // Windows of two, the weight over the window's length. The scale grows after the second and the fourth window.
    expect(await seeds(optim, [1, 1, 1, 1, 1, 3, 5, 2, 1, 1])).toEqual([8, 8, 8, 8, 16, 48, 80, 32, 32, 32]);
    optim.dispose();
  });

  test("a scaler that is shared: who steps last has written ahead, the others latch anew", async () => {
    const [a, b] = [optimizerOf(descent(0), { w: buffer(0) }), optimizerOf(descent(0), { w: buffer(0) })];
    const lossScale = a.createLossScaler({ initScale: 4, growthInterval: 1 });
    const [first, second] = [createOptimWrapper(a, { lossScale }), createOptimWrapper(b, { lossScale })];
    for (const expected of [4, 8, 16]) {
      expect(await seeds(first, [1])).toEqual([expected]);
      expect(await seeds(second, [1])).toEqual([expected]);
      expect(await seeds(first, [1])).toEqual([expected]);
      lossScale.update();
    }
    lossScale.update(3);
    expect(await seeds(second, [1])).toEqual([3]);
    lossScale.dispose();
  });

  test("gradients are unscaled by what they carry, by hand too, and where the step is told of no scaler", async () => {
    const optimizer = optimizerOf(descent(), { w: buffer(0) });
    const lossScaler = optimizer.createLossScaler({ initScale: 8, growthInterval: 1 });
    const w = async (): Promise<number | undefined> => (await read(optimizer))["w"]?.[0];
    optimizer.backward(slope("w"), { lossScaler });
    optimizer.step({ lossScaler });
    lossScaler.update();
    // The same gradients again, although the scale is 16 now; and more of them, with the scale of their window.
    optimizer.step({ lossScaler });
    expect(await w()).toBe(-2);
    optimizer.backward(slope("w"), { lossScaler });
    optimizer.step();
    expect(await w()).toBe(-4);
    expect((await optimizer.stateDict()).pendingScale).toBe(8);
    optimizer.backward(slope("w"), { lossScaler });
    expect((await optimizer.stateDict()).params[0]?.gradient).toEqual(floats(3 * 8));
    optimizer.zeroGrad();
    optimizer.backward(slope("w"), { lossScaler });
    optimizer.step({ lossScaler });
    expect(await w()).toBe(-5);
    expect((await optimizer.stateDict()).pendingScale).toBe(16);
    // Gradients from elsewhere carry the current scale.
    optimizer.zeroGrad();
    optimizer.writeGradients({ w: floats(32) });
    optimizer.step({ lossScaler });
    expect(await w()).toBe(-7);
    lossScaler.dispose();
  });

  test("a scaler that was disposed is refused", async () => {
    const optimizer = optimizerOf(descent(), { w: buffer(0) });
    const lossScaler = optimizer.createLossScaler("dynamic");
    const commit = lossScaler.prepareLoad(await lossScaler.stateDict());
    lossScaler.dispose();
    lossScaler.dispose();
    commit();
    expect(thrownBy(() => optimizer.backward(slope("w"), { lossScaler })).code).toBe("disposed");
    expect(thrownBy(() => lossScaler.update()).code).toBe("disposed");
    await expect(lossScaler.readScale()).rejects.toMatchObject({ code: "disposed" });
  });

  test("a scaler of another device is refused", async () => {
    const other = await openDevice();
    const foreign = webgpuOptimizer(descent(), createArena(other, { w: 1 }), { device: other });
    const lossScaler = foreign.createLossScaler(2);
    const optimizer = optimizerOf(descent(), { w: buffer(0) });
    expect(thrownBy(() => optimizer.backward(slope("w"), { lossScaler })).code).toBe("invalid-option");
  });
});

describe("a parameter that was destroyed", () => {
  test.each<readonly [string, (optimizer: WebgpuOptimizer) => unknown]>([
    ["readParameters", (optimizer) => optimizer.readParameters()],
    [
      "a step",
      (optimizer) => {
        optimizer.writeGradients({ w: floats(1) });
        optimizer.step();
        return optimizer.readMetrics();
      },
    ],
    [
      "writeParameters",
      (optimizer) => {
        optimizer.writeParameters({ w: floats(1) });
        return optimizer.readMetrics();
      },
    ],
  ])("makes %s reject", async (_, use) => {
    const w = buffer(1);
    const optimizer = optimizerOf(descent(), { w });
    w.destroy();
    await expect(use(optimizer)).rejects.toMatchObject({ code: "device-error" });
    optimizer.dispose();
  });
});

describe("state", () => {
  test("counts go from the host to the device and back with a load", async () => {
    const make = () => optimizerOf(adam({ lr: 0.1 }), { w: buffer(1) });
    const [mixed, plain] = [make(), make()];
    const lossScaler = mixed.createLossScaler(1);
    for (let i = 0; i < 6; i += 1) {
      for (const optimizer of [mixed, plain]) {
        // Of the one, steps 2 and 3 are decided on the device; from then on the device counts.
        const scaled = optimizer === mixed && (i === 1 || i === 2) ? { lossScaler } : {};
        optimizer.backward(slope("w"), scaled);
        optimizer.step(scaled);
        optimizer.zeroGrad();
      }
      if (i === 4) mixed.prepareLoad(await mixed.stateDict()).commit();
    }
    const [state, expected] = [await mixed.stateDict(), await plain.stateDict()];
    expect(state.params[0]?.step).toBe(6);
    expect(state.steps).toBe(6);
    expect((await read(mixed))["w"]?.[0]).toBeCloseTo((await read(plain))["w"]?.[0] as number, 6);
    expect(state.params[0]?.slots["expAvg"]).toEqual(expected.params[0]?.slots["expAvg"]);
    lossScaler.dispose();
  });

  test("a slot whose place was staged for a load that was given up begins as zeros", async () => {
    const make = () => optimizerOf(sgd({ lr: 1, momentum: 0.5 }), { a: buffer(0), b: buffer(0) });
    const [from, to] = [make(), make()];
    from.writeGradients({ a: floats(8), b: floats(8) });
    from.step();
    to.writeGradients({ a: floats(1) });
    to.step();
    to.zeroGrad();
    to.prepareLoad(await from.stateDict()).dispose();
    to.writeGradients({ b: floats(1) });
    to.step();
    expect((await to.stateDict()).params.map(({ slots }) => slots["momentumBuffer"])).toEqual([
      floats(1),
      floats(1),
    ]);
  });

  test("a dict's state is one copy and one mapping", async () => {
    const own = await openDevice();
    const make = () =>
      createOptimWrapper(webgpuOptimizer(adam(), createArena(own, { w: 9 }), { device: own }), {
        lossScale: "dynamic",
      });
    const optim = new OptimWrapperDict({ a: make(), b: make() });
    const counted = countDevice(own);
    const { a, b } = (await optim.stateDict()).wrappers;
    expect(counted.counts).toMatchObject({ mapAsync: 1, submits: 1, createBuffer: 1 });
    expect(a).toEqual(b);
    expect(counted.alive.buffers).toBe(0);
  });

  test("parameters are read as of the call, whatever the caller writes next", async () => {
    const w = buffer(1);
    const optimizer = optimizerOf(descent(), { w });
    const reading = optimizer.readParameters();
    device.queue.writeBuffer(w, 0, floats(7));
    expect((await reading)["w"]).toEqual(floats(1));
    expect((await read(optimizer))["w"]).toEqual(floats(7));
  });
});
