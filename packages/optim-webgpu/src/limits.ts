import { refuse } from "@mm/optim-core/backend";
import { bindingAlignment } from "./usage.ts";

/** The most bytes that one binding can reach, a multiple of the alignment. */
export function largestBinding({ maxStorageBufferBindingSize, maxBufferSize }: GPUSupportedLimits): number {
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  return most - (most % (2 * bindingAlignment));
}

/**
 * Refuses a parameter that is more than a kernel can bind.
 *
 * @param range of its buffer, in bytes
 * @param where the name that the error begins with
 * @param adapter the one that the device was requested from: the error then says what it offers
 * @throws OptimError `invalid-parameter`
 */
export function requireRoom(
  { limits }: GPUDevice,
  { offset, bytes }: { readonly offset: number; readonly bytes: number },
  where: string,
  adapter?: GPUAdapter,
): void {
  const most = largestBinding(limits);
  // It is bound from where a binding may begin.
  const bound = bytes + (offset % bindingAlignment);
  if (bound <= most) return;
  const offer =
    adapter === undefined
      ? "The limits of its adapter say what there is to have"
      : `The adapter offers ${listed(adapter.limits)}`;
  refuse(
    "invalid-parameter",
    where,
    `at most ${most} bytes, what this device binds at once (${listed(limits)})`,
    bound,
    {
      hint: `${offer}: a device has more than the default where requestDevice() is given requiredLimits. Or divide the parameter`,
    },
  );
}

/** The limits that decide, with their names. */
export const listed = (limits: GPUSupportedLimits): string =>
  (["maxStorageBufferBindingSize", "maxBufferSize"] as const)
    .map((name) => `${name} ${limits[name]}`)
    .join(", ");
