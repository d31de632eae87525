import type { Device } from "./device.ts";
import { globalsWords, stateBlock, stateBlockWords } from "./kernel/index.ts";

/** A number of an optimizer's that the device computes: where in its state. */
export class DeviceScalar {
  readonly word: number;
  /** `"pair"`: two float32 whose sum it is; `"wide"`: a float32 × 2^i32. */
  readonly type: "u32" | "f32" | "pair" | "wide";

  constructor(word: number, type: DeviceScalar["type"]) {
    this.word = word;
    this.type = type;
  }
}

/** The numbers of one parameter. */
interface Block {
  readonly at: number;
  readonly scalarSlots: readonly string[];
}

/**
 * The data of an optimizer on the device beside vectors: counts, latched loss scales, and for each parameter a block of its step count and
 * its scalar slots. `kernel/layout.ts` has the words.
 */
export class DeviceState {
  readonly #device: Device;
  readonly #blocks = new Map<string, Block>();
  #buffer: GPUBuffer;
  /** Between two numbers of the state: a copy needs another buffer. */
  #relay: GPUBuffer | undefined;

  constructor(device: Device) {
    this.#device = device;
    this.#buffer = device.createBuffer("state", 4 * globalsWords);
  }

  get buffer(): GPUBuffer {
    return this.#buffer;
  }

  /**
   * Makes blocks for parameters, each with room for the scalar slots that its rule has in any structure. The buffer is another one after it, and
   * what was bound to the one before is void.
   */
  reserve(parameters: readonly { readonly name: string; readonly scalarSlots: readonly string[] }[]): void {
    const before = this.#buffer;
    let end = before.size / 4;
    for (const { name, scalarSlots } of parameters) {
      this.#blocks.set(name, { at: end, scalarSlots });
      end += stateBlockWords(scalarSlots.length);
    }
    this.#buffer = this.#device.createBuffer("state", 4 * end);
    const encoder = this.#device.createEncoder("state");
    encoder.copyBufferToBuffer(before, 0, this.#buffer, 0, before.size);
    this.#device.submit([encoder.finish()]);
    before.destroy();
  }

  /** Word of the block of a parameter. */
  blockOf(name: string): number {
    return this.#block(name).at;
  }

  stepOf(name: string): DeviceScalar {
    return new DeviceScalar(this.blockOf(name) + stateBlock.step, "u32");
  }

  slotOf(name: string, scalarSlot: string): DeviceScalar {
    const { at, scalarSlots } = this.#block(name);
    return new DeviceScalar(at + stateBlock.scalarSlots + 2 * scalarSlots.indexOf(scalarSlot), "pair");
  }

  write(word: number, data: Float32Array | Uint32Array): void {
    this.#device.write(this.#buffer, 4 * word, data);
  }

  /** Copies a pair, after all that was submitted. */
  copy(from: DeviceScalar, to: DeviceScalar): void {
    this.#relay ??= this.#device.createBuffer("relay", 8);
    const encoder = this.#device.createEncoder("shared slot");
    encoder.copyBufferToBuffer(this.#buffer, 4 * from.word, this.#relay, 0, 8);
    encoder.copyBufferToBuffer(this.#relay, 0, this.#buffer, 4 * to.word, 8);
    this.#device.submit([encoder.finish()]);
  }

  /** A function that gives the numbers of scalars, as of this call. Waits for the device. */
  async read(): Promise<(scalar: DeviceScalar) => number> {
    const view = new DataView(
      await this.#device.read([{ buffer: this.#buffer, offset: 0, size: this.#buffer.size }]),
    );
    return ({ word, type }) => {
      if (type === "u32") return view.getUint32(4 * word, true);
      const number = view.getFloat32(4 * word, true);
      if (type === "pair") return number + view.getFloat32(4 * word + 4, true);
      return type === "wide" ? number * 2 ** view.getInt32(4 * word + 4, true) : number;
    };
  }

  destroy(): void {
    this.#buffer.destroy();
    this.#relay?.destroy();
  }

  #block(name: string): Block {
    return this.#blocks.get(name) as Block;
  }
}
