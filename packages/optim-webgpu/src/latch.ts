import type { Device } from "./device.ts";
import { globals, header, seedKernel } from "./kernel/index.ts";
import { LossScaleValue, type StepScalar } from "./loss-scaler.ts";
import { DeviceScalar, type DeviceState } from "./scalars.ts";
import type { WebgpuBinding } from "./storage.ts";
import { Table } from "./table.ts";
import { layOutTable } from "./table-layout.ts";
import { bufferUsage, workingUsage } from "./usage.ts";

/** The work before a closure's passes, or before a step, so that the seed is right. */
export interface SeedChange {
  /** Records what the device has to do. */
  readonly record?: (encoder: GPUCommandEncoder) => void;
  /** Called when it was submitted or held. */
  commit(): void;
}

const unchanged: SeedChange = { commit() {} };

/**
 * The loss scale that the gradients of a window carry, and the seed of its backward passes: scale × loss scale, where the closure binds
 * it. A step writes both ahead for the next window. Where that is not what comes (another wrapper has stepped with the scaler meanwhile,
 * the scale is another one), a kernel of one thread writes them.
 */
export class Latch {
  readonly seed: WebgpuBinding;
  readonly #device: Device;
  readonly #state: DeviceState;
  readonly #table: Table;
  #groups = new WeakMap<GPUBuffer, GPUBindGroup>();
  /** Which of the two words in the state. */
  #index: 0 | 1 = 0;
  /** The owner of the value in that word. */
  #held: StepScalar | undefined;
  /** The owner of the value in the other word. */
  #ahead: LossScaleValue | undefined;
  #scale = 1;
  /** The factors of the seed. */
  #seedOf: { readonly lossScale: StepScalar | undefined; readonly scale: number } | undefined;

  constructor(device: Device, state: DeviceState) {
    this.#device = device;
    this.#state = state;
    this.#table = new Table(device, "seed", layOutTable(0, 0, []));
    // tfjs takes a scalar of its own for it, which begins where its buffer begins.
    const buffer = device.createBuffer("seed", 16, workingUsage | bufferUsage.uniform);
    this.seed = Object.freeze({ buffer, offset: 0, size: 4 });
  }

  /** Which word holds the window's loss scale. */
  get index(): 0 | 1 {
    return this.#index;
  }

  /** The host's factor of the last loss. */
  get scale(): number {
    return this.#seedOf?.scale ?? this.#scale;
  }

  /** Where the window's loss scale is, whatever its scaler has by now. */
  get latched(): DeviceScalar {
    return new DeviceScalar(globals.latched + this.#index, "f32");
  }

  /** Makes a loss scale the window's, and the seed scale × it. */
  change(lossScale: StepScalar | undefined, scale: number): SeedChange {
    const fits = this.#seedOf?.lossScale === lossScale && this.#seedOf?.scale === scale;
    if (lossScale instanceof LossScaleValue) {
      return fits && lossScale === this.#held ? unchanged : this.#onDevice(lossScale, scale, fits);
    }
    if (typeof lossScale === "number" && lossScale !== this.#held) {
      this.#state.write(globals.latched + this.#index, Float32Array.of(lossScale));
      this.#held = lossScale;
    }
    if (!fits) {
      const seed = scale * ((lossScale as number | undefined) ?? 1);
      this.#device.write(this.seed.buffer, 0, Float32Array.of(seed));
      this.#seedOf = { lossScale: lossScale as number | undefined, scale };
    }
    return unchanged;
  }

  /** A step was recorded that writes ahead, for a window that holds `next`; or for none. */
  stepped(next: LossScaleValue | undefined): void {
    const { scale } = this;
    this.#ahead = next;
    this.#seedOf = next && { lossScale: next, scale };
    this.#scale = scale;
  }

  /** The state has another buffer. */
  rebind(): void {
    this.#groups = new WeakMap();
  }

  destroy(): void {
    this.#table.destroy();
    this.seed.buffer.destroy();
  }

  #onDevice(lossScale: LossScaleValue, scale: number, fits: boolean): SeedChange {
    const { scaler } = lossScale;
    scaler.requireOn(this.#device);
    const begins = lossScale !== this.#held;
    const isAhead = begins && lossScale === this.#ahead;
    const index = isAhead ? this.#other : this.#index;
    const commit = (): void => {
      this.#index = index;
      this.#held = lossScale;
      this.#seedOf = { lossScale, scale };
      if (isAhead) this.#ahead = undefined;
    };
    if (fits && (isAhead || !begins)) return { commit };
    const table = this.#table;
    table.setWord(header.latches, Number(begins && !isAhead));
    table.setWord(header.latched, index);
    table.setWord(header.scalerCurrent, scaler.currentState);
    table.setFloat(header.seedScale, scale);
    return {
      commit,
      record: (encoder) => {
        table.upload();
        const kernel = this.#device.kernel(seedKernel());
        let group = this.#groups.get(scaler.buffer);
        if (group === undefined) {
          const { buffer } = this.#state;
          group = this.#device.bind(kernel, [
            { buffer: table.buffer },
            { buffer },
            { buffer: scaler.buffer },
            this.seed,
          ]);
          this.#groups.set(scaler.buffer, group);
        }
        const pass = encoder.beginComputePass({ label: "optim seed" });
        pass.setPipeline(kernel.pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(1);
        pass.end();
      },
    };
  }

  get #other(): 0 | 1 {
    return this.#index === 0 ? 1 : 0;
  }
}
