import { refuse } from "@mm/optim-core/backend";

/**
 * Refuses anything but a live Float32Array. Recognised by its tag, so that arrays of other realms (frames, workers' contexts) pass.
 *
 * @throws OptimError `invalid-parameter`
 */
export function requireFloat32(value: unknown, where: string): asserts value is Float32Array {
  if (Object.prototype.toString.call(value) !== "[object Float32Array]") {
    refuse("invalid-parameter", where, "a Float32Array", value);
  }
  if (isDetached((value as Float32Array).buffer)) {
    refuse("invalid-parameter", where, "a Float32Array with its memory", value, {
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
  refuse("invalid-parameter", `${call}: parameter ${JSON.stringify(name)}`, `its ${length} elements`, value, {
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
