import { OptimError } from "@mm/optim-core";

/**
 * Refuses anything but a live Float32Array. Recognised by its tag, so that arrays of other realms (frames, workers' contexts) pass.
 *
 * @throws OptimError `invalid-parameter`
 */
export function requireFloat32(value: unknown, where: string): asserts value is Float32Array {
  if (Object.prototype.toString.call(value) !== "[object Float32Array]") {
    throw new OptimError("invalid-parameter", where, { expected: "a Float32Array", received: value });
  }
  if (isDetached((value as Float32Array).buffer)) {
    throw new OptimError("invalid-parameter", where, {
      expected: "a Float32Array with its memory",
      received: value,
      hint: "Its buffer was transferred, or a WebAssembly memory under it has grown",
    });
  }
}

/**
 * Refuses a parameter that lost its memory, or changed its length, since it was given.
 *
 * @throws OptimError `invalid-parameter`
 */
export function requireUnchanged(
  { name, value, length }: { readonly name: string; readonly value: Float32Array; readonly length: number },
  call: string,
): void {
  if (value.length === length) return;
  throw new OptimError("invalid-parameter", `${call}: parameter ${JSON.stringify(name)}`, {
    expected: `its ${length} elements`,
    received: value,
    hint: "Its buffer was transferred or resized, or a WebAssembly memory under it has grown",
  });
}

/**
 * Refuses arrays that share a part of their elements, which a step would update twice. Ranges that are the same are left to core, which
 * knows where they were written.
 *
 * @throws OptimError `duplicate-parameter`
 */
export function requireApart(
  arrays: readonly (readonly [name: string, value: unknown])[],
  who: string,
): void {
  interface Range {
    readonly name: string;
    readonly start: number;
    readonly end: number;
  }
  const reached = new Map<ArrayBufferLike, Range>();
  const views = arrays
    .flatMap(([name, value]) => (ArrayBuffer.isView(value) && value.byteLength > 0 ? [{ name, value }] : []))
    .sort((a, b) => a.value.byteOffset - b.value.byteOffset);
  for (const { name, value } of views) {
    const [start, end] = [value.byteOffset, value.byteOffset + value.byteLength];
    const before = reached.get(value.buffer);
    if (before !== undefined && start < before.end && (start !== before.start || end !== before.end)) {
      throw new OptimError("duplicate-parameter", `${who}: parameter ${JSON.stringify(name)}`, {
        expected: `no element that is in ${JSON.stringify(before.name)} too`,
        hint: "Give views of one buffer that do not overlap",
      });
    }
    if (before === undefined || end > before.end) reached.set(value.buffer, { name, start, end });
  }
}

function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    return new Uint8Array(buffer, 0, 0).length > 0;
  } catch {
    return true;
  }
}
