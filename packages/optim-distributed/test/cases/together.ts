// The behaviour of ranks together beyond equal numbers: overflow, gradients of one rank, resume, refusals, replicas.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { decodeCheckpoint, encodeCheckpoint, restoreCheckpoint, takeCheckpoint } from "@mm/optim-checkpoint";
import { type AnyOptimizer, createOptimWrapper, isOptimError } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import {
  broadcastState,
  checkReplicas,
  type Communicator,
  distributed,
  type SlicingCommunicator,
  shardOf,
} from "@mm/optim-distributed";
import { adamw, cautious, sgd } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import { hashWords } from "../../src/hash.ts";
import { allocate, batchOf, fill, lengths, lossOf, type Name, type Parameters } from "./network.ts";

const wrap = (parameters: Parameters, communicator: Communicator, accumulativeCounts = 1) =>
  createOptimWrapper(distributed(wasmOptimizer(adamw({ lr: 0.01 }), parameters), communicator), {
    accumulativeCounts,
  });

const hashOf = (parameters: Parameters): readonly number[] =>
  Object.keys(lengths).flatMap((name) => {
    const { buffer, byteOffset, length } = parameters[name as Name];
    return hashWords(new Int32Array(buffer, byteOffset, length));
  });

/** In the third of six steps the last rank's gradient overflows. */
export async function overflow(communicator: Communicator): Promise<unknown> {
  const { rank, size } = communicator;
  const weight = new Float32Array([1]);
  const optim = createOptimWrapper(distributed(wasmOptimizer(sgd({ lr: 1 }), { weight }), communicator), {
    lossScale: { initScale: 1024 },
  });
  const values = [];
  for (let iteration = 0; iteration < 6; iteration += 1) {
    optim.updateParams(({ grad, scale }) => {
      grad("weight")[0] = iteration === 2 && rank === size - 1 ? Infinity : scale * (rank + 1) * 0.25;
      return 0;
    });
    values.push(weight[0]);
  }
  const metrics = await optim.readMetrics();
  optim.dispose();
  return { values, metrics };
}

/** Three parameters; only the last rank has a gradient of the second one, nobody of the third. On arrays of its own, and on an arena. */
export function oneRankOnly(communicator: Communicator): Promise<unknown> {
  const arrays = { all: new Float32Array(1), last: new Float32Array(1), none: new Float32Array(1) };
  return Promise.all(
    [arrays, createArena({ all: 1, last: 1, none: 1 })].map((parameters) =>
      lastRankOnly(communicator, parameters),
    ),
  );
}

async function lastRankOnly(
  communicator: Communicator,
  parameters: { readonly [name in "all" | "last" | "none"]: Float32Array },
): Promise<unknown> {
  const { rank, size } = communicator;
  for (const tensor of Object.values(parameters)) tensor.fill(1);
  const optim = createOptimWrapper(
    distributed(wasmOptimizer(sgd({ lr: 1, weightDecay: 0.5 }), parameters), communicator),
  );
  optim.updateParams(({ grad, scale }) => {
    grad("all")[0] = scale;
    if (rank === size - 1) grad("last")[0] = scale * size;
    return 0;
  });
  // Nobody has data: nothing is stepped.
  const { updated } = optim.skip();
  const { optimizer } = await optim.stateDict();
  optim.dispose();
  return {
    values: Object.values(parameters).map(([value]) => value),
    steps: optimizer.params.map(({ step }) => step),
    updated,
  };
}

/** In an arena: ranks have the gradient of one parameter in turn, and all have that of the other in every second of six steps. */
export function turns(communicator: Communicator): unknown {
  const { rank, size } = communicator;
  const arena = createArena({ second: 2, turn: 65 });
  const optim = createOptimWrapper(
    distributed(wasmOptimizer(sgd({ lr: 1 }), { turn: arena.turn, second: arena.second }), communicator),
  );
  const values = [];
  for (let iteration = 0; iteration < 6; iteration += 1) {
    const mine = rank === iteration % size;
    if (iteration % 2 === 1 && !mine) optim.skip();
    else
      optim.updateParams(
        ({ grad, scale }) => {
          if (mine) grad("turn").fill(scale);
          if (iteration % 2 === 0) grad("second").fill(2 * scale);
          return 0;
        },
        { weight: mine ? 3 : 1 },
      );
    values.push([arena.turn[64], arena.second[1]]);
  }
  optim.dispose();
  return values;
}

/** 30 iterations, a save of rank 0, 30 more; and 30 more of new wrappers that resumed from rank 0's file. */
export async function resume(communicator: SlicingCommunicator, file: string): Promise<unknown> {
  const train = (parameters: Parameters, optim: ReturnType<typeof wrap>, from: number, to: number): void => {
    for (let iteration = from; iteration < to; iteration += 1) {
      const rows = batchOf(iteration);
      const shard = shardOf(rows.length, communicator);
      if (shard.from === shard.to) optim.skip();
      else
        optim.updateParams(lossOf(parameters, rows.slice(shard.from, shard.to)), {
          weight: shard.to - shard.from,
        });
    }
  };
  const first = allocate();
  fill(first);
  const uninterrupted = wrap(first, communicator, 2);
  train(first, uninterrupted, 0, 30);
  if (communicator.rank === 0) {
    const bytes = encodeCheckpoint(await takeCheckpoint(uninterrupted)).bytes();
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, bytes);
  }
  train(first, uninterrupted, 30, 61);
  // In mid-window: the gradients are this rank's alone.
  const refused =
    communicator.size > 1 ? await uninterrupted.stateDict().then(() => "", codeOf) : "window-open";
  uninterrupted.flush();

  const second = allocate();
  fill(second, 2 + communicator.rank);
  const resumed = wrap(second, communicator, 2);
  if (communicator.rank === 0) await restoreCheckpoint(resumed, await decodeCheckpoint(readFileSync(file)));
  await broadcastState(resumed, communicator);
  train(second, resumed, 30, 61);
  resumed.flush();
  await checkReplicas(
    {
      *[Symbol.iterator]() {
        yield ["a", uninterrupted] as const;
        yield ["b", resumed] as const;
      },
    },
    communicator,
  );
  const results = { uninterrupted: hashOf(first), resumed: hashOf(second), refused };
  uninterrupted.dispose();
  resumed.dispose();
  return results;
}

/** The difference of the last rank from the others, in the construction of two optimizers. */
const others: { readonly [what: string]: (communicator: Communicator, odd: boolean) => void } = {
  order(communicator, odd) {
    const a = (): unknown =>
      distributed(wasmOptimizer(sgd({ lr: 1 }), { a: new Float32Array(2) }), communicator);
    const b = (): unknown =>
      distributed(wasmOptimizer(sgd({ lr: 1 }), { b: new Float32Array(2) }), communicator);
    for (const make of odd ? [b, a] : [a, b]) make();
  },
  rule(communicator, odd) {
    const w = new Float32Array(2);
    const optimizer: AnyOptimizer = odd
      ? wasmOptimizer(adamw(), { w })
      : wasmOptimizer(sgd({ lr: 1 }), { w });
    distributed(optimizer, communicator);
  },
  "rule of a group"(communicator, odd) {
    const [w, b] = [new Float32Array(2), new Float32Array(1)];
    const own = { params: { b }, rule: odd ? cautious(adamw()) : adamw() };
    distributed(wasmOptimizer(sgd({ lr: 1 }), [{ params: { w } }, own]), communicator);
  },
  shape(communicator, odd) {
    distributed(wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(odd ? 3 : 2) }), communicator);
  },
  option(communicator, odd) {
    distributed(wasmOptimizer(sgd({ lr: odd ? 0.5 : 1 }), { w: new Float32Array(2) }), communicator);
  },
  structure(communicator, odd) {
    distributed(
      wasmOptimizer(sgd({ lr: 1, nesterov: odd, momentum: 0.9 }), { w: new Float32Array(2) }),
      communicator,
    );
  },
  version(communicator, odd) {
    const optimizer: AnyOptimizer = wasmOptimizer(sgd({ lr: 1 }), { w: new Float32Array(2) });
    distributed(
      odd ? (Object.create(optimizer, { contract: { value: 2 } }) as AnyOptimizer) : optimizer,
      communicator,
    );
  },
  "layout of gradients"(communicator, odd) {
    const parameters = odd ? { w: new Float32Array(2) } : createArena({ w: 2 });
    distributed(wasmOptimizer(sgd({ lr: 1 }), parameters), communicator);
  },
  "option of the wrapper"(communicator, odd) {
    const w = new Float32Array(2);
    const optim = createOptimWrapper(distributed(wasmOptimizer(sgd({ lr: 1 }), { w }), communicator), {
      ...(odd && { clipGrad: { maxNorm: 1 } }),
    });
    optim.updateParams(({ grad }) => ((grad("w")[0] = 1), 0));
  },
};

export const differences: readonly string[] = Object.keys(others);

/** The refusals, as this rank sees them. */
export function mismatches(communicator: Communicator): unknown {
  const odd = communicator.rank === communicator.size - 1;
  return Object.fromEntries(
    differences.map((what) => {
      try {
        others[what]?.(communicator, odd);
        return [what, "nothing was refused"];
      } catch (error) {
        return [what, described(error)];
      }
    }),
  );
}

/** A bit of one parameter, then of the state, flips on the last rank. */
export async function flips(communicator: Communicator): Promise<unknown> {
  const odd = communicator.rank === communicator.size - 1;
  const [first, second] = [allocate(), allocate()];
  for (const parameters of [first, second]) fill(parameters);
  const optim = new OptimWrapperDict({
    first: wrap(first, communicator),
    second: wrap(second, communicator),
  });
  const check = (): Promise<unknown> => checkReplicas(optim, communicator).then(() => "equal", described);
  const results: unknown[] = [await check()];
  const bits = new Int32Array(second.w2.buffer);
  if (odd) (bits[3] as number) ^= 1;
  results.push(await check());
  if (odd) (bits[3] as number) ^= 1;
  results.push(await check());
  if (odd) optim.get("first").paramGroups[0].lr = 0.02;
  results.push(await check());
  // Hyperparameters are state: those of the first rank, or of the one that is named.
  await broadcastState(optim, communicator, communicator.size - 1);
  results.push(await check(), optim.get("first").paramGroups[0].lr);
  optim.dispose();
  return results;
}

/** Ranks start from different numbers, and go on with those of the last one. */
export async function start(communicator: Communicator): Promise<unknown> {
  const parameters = allocate();
  fill(parameters, 10 + communicator.rank);
  const expected = allocate();
  fill(expected, 10 + communicator.size - 1);
  const optim = wrap(parameters, communicator);
  await broadcastState(optim, communicator, communicator.size - 1);
  const equal = JSON.stringify(hashOf(parameters)) === JSON.stringify(hashOf(expected));
  optim.dispose();
  return equal;
}

function codeOf(error: unknown): string {
  return isOptimError(error) ? error.code : String(error);
}

function described(error: unknown): unknown {
  if (!isOptimError(error)) return String(error);
  const { code, message, ranks, mismatched } = error;
  return { code, message, ranks, ...(mismatched && { mismatched }) };
}
