import { adam, adamw } from "@mm/optim-rules";
import { type Arena, createArena, wasmOptimizer } from "@mm/optim-wasm";
import { type Case, type Effort, ratio, type Section, sideBySide } from "./measure.ts";

/** The update kernels on the CPU: against a plain loop, and against moving the same bytes. */
export async function wasm(effort: Effort): Promise<readonly Section[]> {
  const scale = effort.smoke ? 1000 : 1;
  return [
    await adamOn({ tensors: 4, length: Math.floor(2 ** 20 / scale), label: "4 × 1M", goals: true }, effort),
    await adamOn(
      { tensors: 100, length: Math.floor(10_000 / scale), label: "100 × 10k", goals: false },
      effort,
    ),
    await slotsOf({ tensors: 4, length: Math.floor(2 ** 20 / scale) }, effort),
  ];
}

/** Names of tensors, arenas with them, and optimizers whose gradients are there. */
function tensorsOf({ tensors, length }: Pick<Size, "tensors" | "length">) {
  const names = Array.from({ length: tensors }, (_, index) => `w${index}`);
  const gradient = Float32Array.from({ length }, (_, index) => Math.sin(index));
  return {
    names,
    gradient,
    arena(): Arena {
      const made = createArena(Object.fromEntries(names.map((name) => [name, length])), { slots: 3 });
      for (const array of Object.values(made)) array.fill(1);
      return made;
    },
    ready(optimizer: ReturnType<typeof wasmOptimizer>) {
      optimizer.backward(({ grad }) => {
        for (const name of names) grad(name).set(gradient);
        return 0;
      });
      return optimizer;
    },
  };
}

/** AdamW with its slots in half the bytes: it moves 20 bytes a parameter in place of 28, and packs what it stores. */
async function slotsOf(size: Pick<Size, "tensors" | "length">, effort: Effort): Promise<Section> {
  const { arena, ready } = tensorsOf(size);
  const optimizers = (["float32", "bfloat16"] as const).map((slotDtype) => ({
    name: `slots in ${slotDtype}`,
    optimizer: ready(wasmOptimizer(adamw(), arena(), { slotDtype })),
  }));
  const cases: readonly Case[] = optimizers.map(({ name, optimizer }) => ({
    name,
    run() {
      optimizer.step();
    },
  }));
  const timings = await sideBySide(cases, effort);
  for (const { optimizer } of optimizers) optimizer.dispose();
  return {
    title: "AdamW on 4 × 1M float32, slots in bfloat16, CPU",
    about:
      'One step of `@mm/optim-wasm` in an arena. With `slotDtype: "bfloat16"` both averages take half the bytes: a step moves 20 a parameter in place of 28, and rounds what it stores.',
    timings,
    ratios: [ratio(timings, "slots in bfloat16", "slots in float32")],
  };
}

interface Size {
  readonly tensors: number;
  readonly length: number;
  readonly label: string;
  /** DESIGN has goals for 4 × 1M, which fits into no cache. */
  readonly goals: boolean;
}

async function adamOn(size: Size, effort: Effort): Promise<Section> {
  const { length, label, goals } = size;
  const { names, gradient, arena, ready } = tensorsOf(size);
  const own = (): Arena => Object.fromEntries(names.map((name) => [name, new Float32Array(length).fill(1)]));
  const adamOf = (parameters: Arena) => ready(wasmOptimizer(adam({ lr: 1e-3 }), parameters));

  const inArena = adamOf(arena());
  const onArrays = adamOf(own());
  const state = names.map(() => new AdamLoop(length, gradient));
  // In place, Adam reads 16 bytes a parameter and writes 12. A copy of 14 reads 14 and writes 14.
  const copied = names.map(() => [new Uint8Array(14 * length).fill(1), new Uint8Array(14 * length)] as const);
  const cases: readonly Case[] = [
    {
      name: "JS loop",
      run() {
        for (const tensor of state) tensor.step();
      },
    },
    {
      name: "copy",
      run() {
        for (const [from, to] of copied) to.set(from);
      },
    },
    { name: "arena", run: () => inArena.step() },
    { name: "caller's arrays", run: () => onArrays.step() },
    {
      name: "arena, unscaled and clipped by value",
      run: () => inArena.step({ rescale: 0.5, clipGrad: { type: "value", clipValue: 0.25 } }),
    },
    {
      name: "arena, clipped by norm",
      run: () => inArena.step({ clipGrad: { maxNorm: 1 } }),
    },
  ];
  const timings = await sideBySide(cases, effort);
  inArena.dispose();
  onArrays.dispose();
  return {
    title: `Adam on ${label} float32, CPU`,
    about:
      "One step of `@mm/optim-wasm`. The JS loop is one loop per tensor over parameter, gradient and both averages, the way one would write it. The copy moves the bytes that Adam moves, 28 a parameter (14 read, 14 written).",
    timings,
    ratios: [
      ratio(timings, "arena", "copy", goals ? { atMost: 0.75 } : undefined),
      ratio(timings, "JS loop", "arena", goals ? { atLeast: 5 } : undefined),
      ratio(timings, "JS loop", "caller's arrays", goals ? { atLeast: 3 } : undefined),
      ratio(timings, "arena, unscaled and clipped by value", "arena", goals ? { atMost: 1.1 } : undefined),
      ratio(timings, "arena, clipped by norm", "arena"),
    ],
  };
}

/** Adam as one writes it by hand. */
class AdamLoop {
  readonly #param: Float32Array;
  readonly #grad: Float32Array;
  readonly #mean: Float32Array;
  readonly #square: Float32Array;
  #step = 0;

  constructor(length: number, grad: Float32Array) {
    this.#param = new Float32Array(length).fill(1);
    this.#grad = grad.slice();
    this.#mean = new Float32Array(length);
    this.#square = new Float32Array(length);
  }

  step(): void {
    this.#step += 1;
    const [lr, beta1, beta2, eps] = [1e-3, 0.9, 0.999, 1e-8];
    const size = lr / (1 - beta1 ** this.#step);
    const root = Math.sqrt(1 - beta2 ** this.#step);
    const param = this.#param;
    const grad = this.#grad;
    const mean = this.#mean;
    const square = this.#square;
    for (let i = 0; i < param.length; i += 1) {
      const g = grad[i] as number;
      const m = beta1 * (mean[i] as number) + (1 - beta1) * g;
      const v = beta2 * (square[i] as number) + (1 - beta2) * g * g;
      mean[i] = m;
      square[i] = v;
      param[i] = (param[i] as number) - (size * m) / (Math.sqrt(v) / root + eps);
    }
  }
}
