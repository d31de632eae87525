import type { GanCase, GanSide, GanStep, TorchStateDict } from "../format.ts";
import { encode } from "./formulas.ts";
import { modelOf, toFloat32 } from "./training.ts";
import { clipping } from "./wrapper.ts";

/**
 * A GAN case in float64. `leaky` is MMEngine's way: the generator's loss also leaves gradients in the discriminator, and the next update of
 * the discriminator takes them; ours does not.
 */
export function expectGan(recorded: GanCase, leaky = false): GanCase {
  const generator = new Side(recorded, "generator");
  const discriminator = new Side(recorded, "discriminator");
  const batch = recorded.Z.data.length / (recorded.Z.shape[0] as number);
  const [z, x] = [recorded.Z.data.map(toFloat32), recorded.XR.data.map(toFloat32)];
  const steps = recorded.steps.map((row, t): GanStep => {
    const part = (list: readonly number[]): readonly number[] => list.slice(t * batch, (t + 1) * batch);
    const fakes = (): number[] => part(z).map((value) => value * generator.get("wg") + generator.get("bg"));
    const judge = (value: number): number => value * discriminator.get("wd") + discriminator.get("bd");
    const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / batch;

    const [real, fake] = [part(x), fakes()];
    const dLoss =
      mean(real.map((value) => (judge(value) - 1) ** 2)) + mean(fake.map((value) => judge(value) ** 2));
    discriminator.update({
      wd:
        mean(real.map((value) => 2 * (judge(value) - 1) * value)) +
        mean(fake.map((value) => 2 * judge(value) * value)),
      bd: mean(real.map((value) => 2 * (judge(value) - 1))) + mean(fake.map((value) => 2 * judge(value))),
    });

    const errors = fakes().map((value) => judge(value) - 1);
    const gLoss = mean(errors.map((error) => error ** 2));
    const left = {
      wd: mean(errors.map((error, i) => 2 * error * (fakes()[i] as number))),
      bd: mean(errors.map((error) => 2 * error)),
    };
    const slope = discriminator.get("wd");
    const own = {
      wg: mean(errors.map((error, i) => 2 * error * slope * (part(z)[i] as number))),
      bg: mean(errors.map((error) => 2 * error * slope)),
    };
    if (leaky) discriminator.add(left, generator.factor);
    generator.update(own);
    return { ...row, dLoss, gLoss, ...generator.values(), ...discriminator.values() };
  });
  return {
    ...recorded,
    steps,
    finalStateDict: { generator: generator.saved, discriminator: discriminator.saved },
  };
}

/** One wrapper of the dict: its accumulation window, clipping, optimizer. */
class Side {
  readonly #model: ReturnType<typeof modelOf>;
  readonly #recorded: TorchStateDict;
  readonly #side: GanSide;
  readonly #size: number;
  readonly #max: number;
  #count = 0;
  #pending = new Map<string, readonly number[]>();

  constructor(recorded: GanCase, name: "generator" | "discriminator") {
    const side = recorded[name];
    const init = Object.entries(recorded.init).map(
      ([name, data]) => [name, { shape: [data.length], data }] as const,
    );
    this.#model = modelOf({
      optimizer: side.optimizer,
      groups: [{ params: side.params }],
      init: Object.fromEntries(init),
    });
    this.#recorded = recorded.finalStateDict[name];
    this.#side = side;
    this.#size = recorded.accumulativeCounts;
    this.#max = recorded.maxCounts;
  }

  get(name: string): number {
    return this.#model.parameters.get(name)?.[0] as number;
  }

  /** The divisor of the window that the next backward belongs to. */
  get factor(): number {
    return Math.min(this.#size, this.#max - Math.floor(this.#count / this.#size) * this.#size);
  }

  add(gradients: Readonly<Record<string, number>>, factor: number): void {
    for (const [name, value] of Object.entries(gradients)) {
      this.#pending.set(name, [(this.#pending.get(name)?.[0] ?? 0) + value / factor]);
    }
  }

  update(gradients: Readonly<Record<string, number>>): void {
    this.add(gradients, this.factor);
    this.#count += 1;
    if (this.#count % this.#size !== 0 && this.#count !== this.#max) return;
    const { clip } = clipping(this.#side.clipGrad ?? null, [...this.#pending.values()].flat());
    this.#model.step(new Map([...this.#pending].map(([name, values]) => [name, values.map(clip)])));
    this.#pending = new Map();
  }

  values(): Record<string, ReturnType<typeof encode>> {
    return Object.fromEntries([...this.#model.parameters].map(([name, values]) => [name, encode(values)]));
  }

  get saved(): TorchStateDict {
    return { ...this.#recorded, state: this.#model.state() };
  }
}
