import { type Effort, median, sideBySide, type Timing } from "../measure.ts";
import type { Adapter } from "./adapters.ts";

/** Work for a device. */
export interface DeviceCase {
  readonly name: string;
  /** Waits for nothing. */
  readonly enqueue: () => void;
  /** Submits what a library holds back. */
  readonly flush?: () => void;
}

/** Repeats whose passes are timed on the device, where there is room for a number of passes. */
const mostTimed = 8;

/**
 * Times cases side by side, waits included: each is enqueued so often that it keeps the device busy for a while, then waited for once. A
 * training loop does the same, and what a single wait costs depends on the system more than on the work.
 *
 * @param leastRepeats enqueued at least so often: a single sample of what is slow is at the mercy of its moment
 */
export async function onDevice(
  { device, hasTimestamps }: Adapter,
  cases: readonly DeviceCase[],
  effort: Effort,
  leastRepeats = 1,
): Promise<Timing[]> {
  const prepared = [];
  for (const { name, enqueue, flush } of cases) {
    const repeat = async (times: number): Promise<void> => {
      for (let time = 0; time < times; time += 1) enqueue();
      flush?.();
      await device.queue.onSubmittedWorkDone();
    };
    const times = effort.smoke ? 1 : await calibrate(repeat, leastRepeats);
    prepared.push({ name, times, run: () => repeat(times), repeat });
  }
  const timings = await sideBySide(prepared, effort, 9, 0);
  const result: Timing[] = [];
  for (const [index, { name, medianMs, rounds = [] }] of timings.entries()) {
    const { times, repeat } = prepared[index] as (typeof prepared)[number];
    const each = rounds.map((time) => time / times);
    const timed = Math.min(times, mostTimed);
    const passMs = hasTimestamps ? (await medianPassTime(device, () => repeat(timed), effort)) / timed : 0;
    // Copies are in no pass, and where there are thousands of passes, more than can be timed.
    result.push({ name, medianMs: medianMs / times, rounds: each, ...(passMs > 0 && { passMs }) });
  }
  return result;
}

/** How often to do it for 50 ms of work. */
async function calibrate(repeat: (times: number) => Promise<void>, least: number): Promise<number> {
  // Work of the first time alone (pipelines, bind groups) does not count.
  await repeat(1);
  for (let times = least; ; times *= 2) {
    const start = performance.now();
    await repeat(times);
    if (performance.now() - start >= 50 || times >= 256) return times;
  }
}

async function medianPassTime(
  device: GPUDevice,
  run: () => Promise<void>,
  { smoke }: Effort,
): Promise<number> {
  const samples: number[] = [];
  for (let round = 0; round < (smoke ? 1 : 3); round += 1) samples.push(await passTime(device, run));
  return median(samples);
}

const maxPasses = 2048;

/** Milliseconds on the device of all compute passes that `run` submits, whoever records them. Needs "timestamp-query". */
async function passTime(device: GPUDevice, run: () => Promise<void>): Promise<number> {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * maxPasses });
  const own = device.createCommandEncoder;
  let passes = 0;
  device.createCommandEncoder = (descriptor) => {
    const encoder = own.call(device, descriptor);
    const begin = encoder.beginComputePass;
    encoder.beginComputePass = (passDescriptor) => {
      if (passes === maxPasses) return begin.call(encoder, passDescriptor);
      const timestampWrites = {
        querySet,
        beginningOfPassWriteIndex: 2 * passes,
        endOfPassWriteIndex: 2 * passes + 1,
      };
      passes += 1;
      return begin.call(encoder, { ...passDescriptor, timestampWrites });
    };
    return encoder;
  };
  try {
    await run();
  } finally {
    device.createCommandEncoder = own;
  }
  const nanoseconds = passes === 0 ? 0 : await sumOfPasses(device, querySet, passes);
  querySet.destroy();
  return (passes === maxPasses ? Number.NaN : nanoseconds) / 1e6;
}

async function sumOfPasses(device: GPUDevice, querySet: GPUQuerySet, passes: number): Promise<number> {
  const size = 16 * passes;
  const resolved = device.createBuffer({
    size,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, 2 * passes, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const times = new BigUint64Array(staging.getMappedRange());
  let sum = 0n;
  for (let pass = 0; pass < passes; pass += 1) sum += (times[2 * pass + 1] ?? 0n) - (times[2 * pass] ?? 0n);
  staging.destroy();
  resolved.destroy();
  return Number(sum);
}
