import {
  type Checkpoint,
  decodeCheckpoint,
  type DecodedCheckpoint,
  type OptimWrappers,
  restoreCheckpoint,
  type SavedState,
  takeCheckpoint,
} from "@mm/optim-checkpoint";
import type { AnyOptimWrapper, LoadReport, OptimWrapper } from "@mm/optim-core";
import type { OptimWrapperDict } from "@mm/optim-dict";
import { expectTypeOf, test } from "vitest";

declare const wrapper: OptimWrapper<() => number, number, { lr: number; momentum: number }>;
declare const dict: OptimWrapperDict<{ generator: typeof wrapper; discriminator: AnyOptimWrapper }>;
declare const decoded: DecodedCheckpoint;

test("a wrapper, a dict, a map and pairs are taken; an optimizer is not", () => {
  expectTypeOf(takeCheckpoint(wrapper)).resolves.toEqualTypeOf<Checkpoint>();
  expectTypeOf(dict).toExtend<OptimWrappers>();
  expectTypeOf(new Map([["generator", wrapper]])).toExtend<OptimWrappers>();
  expectTypeOf([["generator", wrapper]] as const).toExtend<OptimWrappers>();
  // @ts-expect-error an optimizer has no window, and is saved with its wrapper
  void takeCheckpoint(wrapper.optimizer);
});

test("what is read goes back in", () => {
  expectTypeOf(decoded).toExtend<Checkpoint>();
  expectTypeOf(restoreCheckpoint(dict, decoded)).resolves.toEqualTypeOf<LoadReport>();
  expectTypeOf(decoded.optim).toEqualTypeOf<SavedState | undefined>();
});

test("what came from a file is unknown until it is checked", async () => {
  expectTypeOf(decoded.extra).toBeUnknown();
  expectTypeOf(decodeCheckpoint).parameter(0).not.toExtend<string>();
  // @ts-expect-error a path is for `readCheckpoint` of `/node`
  await decodeCheckpoint("run.safetensors");
});
