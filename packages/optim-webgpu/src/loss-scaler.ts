import type { LossScalerStateDict, LossScaleSettings } from "@mm/optim-core";
import {
  checkedLossScalerState,
  checkedScale,
  type EngineLossScaler,
  lossScalerState,
  refuse,
} from "@mm/optim-core/backend";
import type { Device } from "./device.ts";
import { header, scalerState, scalerStateWords } from "./kernel/index.ts";
import type { DeviceScalar } from "./scalars.ts";
import type { Table } from "./table.ts";

/** A loss scale that a scaler on the device has, or will have: the same object as long as it is the same. */
export class LossScaleValue {
  readonly scaler: WebgpuLossScaler;

  constructor(scaler: WebgpuLossScaler) {
    this.scaler = scaler;
  }
}

/** A scalar of a step: a number where the host knows it, or what the device computes. */
export type StepScalar = number | DeviceScalar | LossScaleValue;

/**
 * The loss scaler of optimizers on one device. It has two states there: every step that is told to it reads the current one, and writes
 * into the other what `update()` will make of it. So `update()` dispatches nothing: the states change places.
 */
export class WebgpuLossScaler implements EngineLossScaler<StepScalar> {
  readonly kind = "loss-scaler";
  readonly contract = 1;
  readonly backend: string;
  readonly settings: LossScaleSettings;
  readonly device: Device;
  readonly buffer: GPUBuffer;
  #currentState: 0 | 1 = 0;
  #current: LossScaleValue = new LossScaleValue(this);
  /** The other state's; absent when nothing stepped since the last update. */
  #next: LossScaleValue | undefined;
  #disposed = false;
  #updates = 0;

  constructor(device: Device, settings: LossScaleSettings) {
    this.device = device;
    this.backend = device.backend;
    this.settings = settings;
    this.buffer = device.createBuffer("loss scaler", 4 * 2 * scalerStateWords);
    this.#write(settings.initScale, 0);
  }

  /** @throws OptimError `invalid-option` */
  requireOn(device: Device): void {
    if (this.device.gpu === device.gpu) return;
    refuse(
      "invalid-option",
      `${device.who}: lossScaler`,
      "a loss scaler of an optimizer on this device",
      `one on ${this.device.gpu.label === "" ? "another" : this.device.gpu.label}`,
    );
  }

  current(): LossScaleValue {
    this.#guard("a backward or a step");
    return this.#current;
  }

  get currentState(): 0 | 1 {
    return this.#currentState;
  }

  /** Writes what `prepare` needs of it, and gives the scale that it will leave to the next window. */
  recordAndAdvance(table: Table): LossScaleValue {
    const { dynamic, growthFactor, backoffFactor, growthInterval, minScale } = this.settings;
    table.setWord(header.scaler, dynamic ? 2 : 1);
    table.setWord(header.scalerCurrent, this.#currentState);
    // Counts beyond the tracker's range are treated as never.
    table.setWord(header.growthInterval, Math.min(growthInterval, 0xffffffff));
    table.setPair(header.growthFactor, growthFactor);
    table.setPair(header.backoffFactor, backoffFactor);
    table.setFloat(header.minScale, minScale);
    return (this.#next = new LossScaleValue(this));
  }

  /** The step that found the overflow has already reported it. */
  record(): void {
    this.#guard("a step");
  }

  get updates(): number {
    return this.#updates;
  }

  update(newScale?: number): void {
    this.#guard("update");
    this.#updates += 1;
    if (newScale !== undefined) this.#write(checkedScale(newScale));
    else if (this.#next !== undefined) {
      this.#currentState = this.#currentState === 0 ? 1 : 0;
      this.#current = this.#next;
    }
    this.#next = undefined;
  }

  async readScale(): Promise<number> {
    return (await this.#read("readScale")).scale;
  }

  async stateDict(): Promise<LossScalerStateDict> {
    const { scale, growthTracker } = await this.#read("stateDict");
    return lossScalerState(this.settings, scale, growthTracker);
  }

  prepareLoad(state: LossScalerStateDict): () => void {
    this.#guard("prepareLoad");
    const { scale, growthTracker } = checkedLossScalerState(state);
    return () => {
      if (this.#disposed || !this.settings.dynamic) return;
      this.#write(scale, growthTracker);
      this.#next = undefined;
    };
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.device.settle();
    this.buffer.destroy();
  }

  /** Overwrites the current state; the tracker stays where none is given. */
  #write(scale: number, growthTracker?: number): void {
    const at = 4 * scalerStateWords * this.#currentState;
    this.device.write(this.buffer, at + 4 * scalerState.scale, Float32Array.of(scale));
    this.device.write(this.buffer, at + 4 * scalerState.found, Uint32Array.of(0));
    if (growthTracker !== undefined) {
      this.device.write(this.buffer, at + 4 * scalerState.growthTracker, Uint32Array.of(growthTracker));
    }
    this.#current = new LossScaleValue(this);
  }

  async #read(call: string): Promise<{ readonly scale: number; readonly growthTracker: number }> {
    this.#guard(call);
    const offset = 4 * scalerStateWords * this.#currentState;
    const view = new DataView(
      await this.device.read([{ buffer: this.buffer, offset, size: 4 * scalerStateWords }]),
    );
    return {
      scale: view.getFloat32(4 * scalerState.scale, true),
      growthTracker: view.getUint32(4 * scalerState.growthTracker, true),
    };
  }

  #guard(call: string): void {
    if (!this.#disposed) return;
    const where = `${this.backend} LossScaler.${call}`;
    refuse("disposed", where, "a loss scaler that was not disposed", "one that was");
  }
}
