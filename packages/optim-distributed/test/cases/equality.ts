// Training on all ranks against one process on the whole batch, in the same process.
import {
  createOptimWrapper,
  type Optimizer,
  type OptimWrapper,
  type OptimWrapperOptions,
} from "@mm/optim-core";
import { type Communicator, distributed, shardOf } from "@mm/optim-distributed";
import { adafactor, adamw, muon, sgd } from "@mm/optim-rules";
import { createArena, type WasmLoss, wasmOptimizer } from "@mm/optim-wasm";
import { hashWords } from "../../src/hash.ts";
import { allocate, batchOf, fill, lengths, lossOf, type Name, type Parameters } from "./network.ts";

type Wrapper = OptimWrapper<WasmLoss<Name>, number>;

interface Setup {
  readonly optimizer: (parameters: Parameters) => Optimizer<WasmLoss<Name>, number>;
  readonly options?: OptimWrapperOptions;
  /** The largest difference from one process, where a sum in another order moves a parameter further than it does of itself. */
  readonly tolerance?: number;
}

/** Of the matrix, its outputs first. */
const shapes = { w1: [8, 4] };

const plain = (parameters: Parameters) => wasmOptimizer(adamw({ lr: 0.01 }), parameters);
const momentum = (parameters: Parameters) => wasmOptimizer(sgd({ lr: 0.05, momentum: 0.9 }), parameters);

/** The kinds of steps. All take weights: the rows that a rank has. */
export const setups: { readonly [name: string]: Setup } = {
  sgd: { optimizer: (parameters) => wasmOptimizer(sgd({ lr: 0.05 }), parameters) },
  "momentum, clipped": { optimizer: momentum, options: { clipGrad: { maxNorm: 0.05 } } },
  adamw: { optimizer: plain },
  "adamw, clipped": { optimizer: plain, options: { clipGrad: { maxNorm: 0.05 } } },
  "sgd and adamw in one optimizer": {
    optimizer: ({ w1, b1, w2, b2 }) =>
      wasmOptimizer(adamw({ lr: 0.01 }), [
        { params: { w1, b1 } },
        { params: { w2, b2 }, rule: sgd({ lr: 0.05 }) },
      ]),
  },
  "muon and adamw in one optimizer, clipped": {
    optimizer: ({ w1, b1, w2, b2 }) =>
      wasmOptimizer(adamw({ lr: 0.01 }), [
        { params: { w1 }, rule: muon({ lr: 0.02 }), shapes },
        { params: { b1, w2, b2 } },
      ]),
    options: { clipGrad: { maxNorm: 0.05 } },
    tolerance: 1e-5,
  },
  "adafactor and adamw in one optimizer": {
    optimizer: ({ w1, b1, w2, b2 }) =>
      wasmOptimizer(adamw({ lr: 0.01 }), [
        { params: { w1 }, rule: adafactor({ lr: 0.02 }), shapes },
        { params: { b1, w2, b2 } },
      ]),
  },
  "windows of 3": { optimizer: plain, options: { accumulativeCounts: 3 } },
  "dynamic scale": { optimizer: plain, options: { lossScale: { initScale: 1024, growthInterval: 7 } } },
  "windows of 3, dynamic scale, clipped": {
    optimizer: momentum,
    options: {
      accumulativeCounts: 3,
      lossScale: { initScale: 64, growthInterval: 5 },
      clipGrad: { maxNorm: 0.05 },
    },
  },
};

export interface Comparison {
  /** The largest absolute difference of a parameter from that of one process. */
  readonly difference: number;
  /** The largest absolute parameter. */
  readonly largest: number;
  readonly hash: readonly number[];
  readonly steps: number;
}

export const iterations = 100;

export function compareWithOne(
  setup: Setup,
  communicator: Communicator,
  inArena: boolean,
): Promise<Comparison> {
  const mine = inArena ? createArena({ ...lengths, ...shapes }) : allocate();
  const whole = allocate();
  for (const parameters of [mine, whole]) fill(parameters);
  const { optimizer, options } = setup;
  const ours = createOptimWrapper(distributed(optimizer(mine), communicator), options);
  const alone = createOptimWrapper(optimizer(whole), options);
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const rows = batchOf(iteration);
    alone.updateParams(lossOf(whole, rows), { weight: rows.length });
    const { from, to } = shardOf(rows.length, communicator);
    if (from === to) ours.skip();
    else ours.updateParams(lossOf(mine, rows.slice(from, to)), { weight: to - from });
  }
  // 100 is no multiple of 3.
  for (const wrapper of [ours, alone]) wrapper.flush();
  return compare(ours, mine, whole);
}

async function compare(wrapper: Wrapper, mine: Parameters, whole: Parameters): Promise<Comparison> {
  const [a, b] = [mine, whole].map((parameters) => {
    const tensors = Object.keys(lengths).map((name) => parameters[name as Name]);
    return new Float32Array(tensors.flatMap((tensor) => [...tensor]));
  }) as [Float32Array, Float32Array];
  const { steps } = await wrapper.readMetrics();
  wrapper.dispose();
  return {
    difference: Math.max(...a.map((value, index) => Math.abs(value - (b[index] as number)))),
    largest: Math.max(...b.map(Math.abs)),
    hash: hashWords(new Int32Array(a.buffer)),
    steps,
  };
}
