import { OptimError } from "@mm/optim-core";

/** @param who the backend that was asked for something */
export function lostError(who: string, { reason, message }: GPUDeviceLostInfo): OptimError {
  return new OptimError("device-lost", who, {
    expected: "a live GPUDevice",
    received: [reason, message].filter((part) => part !== "").join(": "),
    hint: "Make a new optimizer on a new device, with the parameters that you saved, and load its last stateDict()",
  });
}
