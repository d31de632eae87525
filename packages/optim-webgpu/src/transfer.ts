import { halfToNumber, masterSlot } from "@mm/optim-core/backend";
import type { WebgpuStepParameter } from "./accumulate.ts";
import type { Device } from "./device.ts";
import { halfBytes } from "./masters.ts";
import type { ParameterPort } from "./port.ts";
import type { ByteRange } from "./staging.ts";
import type { Vector } from "./storage.ts";

/** Copies of vectors, as of the call. Waits for the device. */
export async function readVectors(device: Device, vectors: readonly Vector[]): Promise<Float32Array[]> {
  const bytes = await device.read(vectors.map(rangeOf));
  return views(
    bytes,
    vectors.map(({ place }) => place.length),
  );
}

/** Copies of parameters, as of the call; of those with master weights, of these. Waits for the device. */
export async function readParameters<P>(
  device: Device,
  port: ParameterPort<P>,
  parameters: readonly WebgpuStepParameter<P>[],
): Promise<Float32Array[]> {
  port.flush?.();
  const sources = parameters.map((parameter) => sourceOf(port, parameter));
  const bytes = await device.readNow(sources.map(({ range }) => range));
  const lengths = sources.map(({ length }) => length);
  if (!sources.some(({ halves }) => halves)) return views(bytes, lengths);
  const tensors = views(new ArrayBuffer(4 * lengths.reduce((sum, length) => sum + length, 0)), lengths);
  let start = 0;
  for (const [index, { length, halves, range }] of sources.entries()) {
    const tensor = tensors[index] as Float32Array;
    if (halves) tensor.set(Array.from(new Uint16Array(bytes, start, length), halfToNumber));
    else tensor.set(new Float32Array(bytes, start, length));
    start += range.size;
  }
  return tensors;
}

/** Where the elements of a parameter are read from. */
interface Source {
  readonly length: number;
  /** Whether they are float16, two in a word. */
  readonly halves: boolean;
  readonly range: ByteRange;
}

function sourceOf<P>(port: ParameterPort<P>, { slots, value, length }: WebgpuStepParameter<P>): Source {
  const master = slots.get(masterSlot);
  if (master !== undefined) return { length, halves: false, range: rangeOf(master) };
  const range = port.resolve(value);
  const { buffer, offset, dtype } = range;
  const halves = dtype === "float16";
  return { length, halves, range: { buffer, offset, size: halves ? halfBytes(range) : 4 * length } };
}

function rangeOf({ buffer, binding, place }: Vector): ByteRange {
  return { buffer, offset: binding.offset, size: 4 * place.length };
}

/** Float32Arrays one after the other in a buffer. */
function views(bytes: ArrayBuffer, lengths: readonly number[]): Float32Array[] {
  let start = 0;
  return lengths.map((length) => {
    const view = new Float32Array(bytes, start, length);
    start += 4 * length;
    return view;
  });
}
