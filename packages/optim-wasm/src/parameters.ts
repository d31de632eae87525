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

function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    return new Uint8Array(buffer, 0, 0).length > 0;
  } catch {
    return true;
  }
}
