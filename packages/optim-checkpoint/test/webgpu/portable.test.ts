import { decodeCheckpoint, encodeCheckpoint, restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { createOptimWrapper } from "@mm/optim-core";
import { createArena, webgpuOptimizer } from "@mm/optim-webgpu";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";
import "@tensorflow/tfjs-layers";
import { beforeAll, expect, test } from "vitest";
import { openDevice } from "../../../optim-webgpu/test/support/node.ts";
import { bits } from "../model.ts";
import { backends, gradientsOf, options, rule, type Run } from "../runs.ts";

const iterations = 16;
const device = await openDevice();

beforeAll(() => {
  tf.enableProdMode(); // without the advertisement of the cpu backend
  return tf.setBackend("cpu");
});

const scaling = device.createComputePipeline({
  layout: "auto",
  compute: {
    module: device.createShaderModule({
      code: `
        @group(0) @binding(0) var<storage, read> wanted: array<f32>;
        @group(0) @binding(1) var<storage, read> scale: f32;
        @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
        @compute @workgroup_size(8) fn main(@builtin(local_invocation_index) i: u32) {
          if (i < arrayLength(&wanted)) { gradient[i] = wanted[i] * scale; }
        }`,
    }),
  },
});

function onGpu(): Run {
  const arena = createArena(device, { kernel: 6, bias: 2 });
  for (const { buffer, offset, size } of Object.values(arena)) {
    device.queue.writeBuffer(buffer, offset, new Float32Array(size / 4).fill(1));
  }
  const wrapper = createOptimWrapper(webgpuOptimizer(rule, arena, { device }), options);
  return {
    wrapper,
    train(n) {
      const gradients = gradientsOf(n);
      wrapper.updateParams(({ encoder, grad, scale }) => {
        for (const name of ["kernel", "bias"] as const) {
          // STORAGE | COPY_DST
          const wanted = device.createBuffer({ size: gradients[name].byteLength, usage: 0x0080 | 0x0008 });
          device.queue.writeBuffer(wanted, 0, gradients[name] as Float32Array<ArrayBuffer>);
          const entries = [{ buffer: wanted }, scale, grad(name)].map((resource, binding) => ({
            binding,
            resource,
          }));
          const pass = encoder.beginComputePass();
          pass.setPipeline(scaling);
          pass.setBindGroup(0, device.createBindGroup({ layout: scaling.getBindGroupLayout(0), entries }));
          pass.dispatchWorkgroups(1);
          pass.end();
        }
        return undefined;
      });
    },
  };
}

/** A run that changes its home after every fourth iteration, by a file. */
async function carried(route: readonly (() => Run)[]): Promise<Run> {
  let run = (route[0] as () => Run)();
  for (let n = 0; n < iterations; n += 1) {
    if (n > 0 && n % 4 === 0) {
      const file = encodeCheckpoint(await takeCheckpoint(run.wrapper)).bytes();
      run = (route[(n / 4) % route.length] as () => Run)();
      await restoreCheckpoint(run.wrapper, await decodeCheckpoint(file));
    }
    run.train(n);
  }
  return run;
}

function stayed(home: () => Run): Run {
  const run = home();
  for (let n = 0; n < iterations; n += 1) run.train(n);
  return run;
}

test("a run that a file carries from one device to itself, in mid-window, is the run that stayed, to the bit", async () => {
  const [moved, still] = [await carried([onGpu, onGpu]), stayed(onGpu)];
  const parameters = async ({ wrapper }: Run) => bits(await wrapper.optimizer.readParameters());
  expect(await parameters(moved)).toEqual(await parameters(still));
  expect(await moved.wrapper.readMetrics()).toEqual(await still.wrapper.readMetrics());
});

test.each([
  ["tfjs to webgpu to wasm", [backends.tfjs, onGpu, backends.wasm]],
  ["webgpu to wasm to tfjs", [onGpu, backends.wasm, backends.tfjs]],
  ["wasm to tfjs to webgpu", [backends.wasm, backends.tfjs, onGpu]],
])("a run that files carry from %s is the run that stayed, as far as arithmetic goes", async (_, route) => {
  const [moved, still] = [await carried(route), stayed(backends.wasm)];
  const [found, expected] = [moved, still].map(({ wrapper }) => wrapper.optimizer.readParameters());
  for (const [name, tensor] of Object.entries((await expected) ?? {})) {
    for (const [at, value] of tensor.entries()) {
      // Five updates of at most 0.1 each, whose square roots and quotients WGSL rounds within 3 units in the last place (2.5e-7 each).
      expect(Math.abs(((await found)?.[name]?.[at] as number) - value)).toBeLessThan(2e-6);
    }
  }
  expect(moved.wrapper.innerCount).toBe(iterations);
  expect(await moved.wrapper.readMetrics()).toMatchObject({
    lossScale: (await still.wrapper.readMetrics()).lossScale,
  });
});
