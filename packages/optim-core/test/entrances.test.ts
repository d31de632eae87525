import { createAmpOptimWrapper, createOptimWrapper, type Optimizer } from "@mm/optim-core";
import { defineUpdateRule, mul, sub } from "@mm/optim-core/rule";
import { expect, test, vi } from "vitest";
import { arrayOptimizer, descent, gradients, type LossClosure } from "./backend.ts";
import { refusal } from "../../../test-support/refusal.ts";

// Callers without types reach what does not compile.
const untyped = <T>(value: unknown): T => value as T;
const codeOf = async (run: () => unknown): Promise<string> => (await refusal(run)).code;

test.each([undefined, null, 5, "w", {}])("names to freeze are a list, not %j", async (names) => {
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  expect(await codeOf(() => optimizer.freeze(untyped(names)))).toBe("invalid-option");
  expect(await codeOf(() => optimizer.unfreeze(untyped(names)))).toBe("invalid-option");
  expect(optimizer.frozen).toEqual([]);
});

test.each([undefined, null, 5, "w", [], new Map()])("%j names no tensors to write", async (tensors) => {
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  expect(await codeOf(() => optimizer.writeGradients(untyped(tensors)))).toBe("invalid-parameter");
  expect(await codeOf(() => optimizer.writeParameters(untyped(tensors)))).toBe("invalid-parameter");
});

test("numbers that are missing from a tuple are refused", async () => {
  const rule = defineUpdateRule({
    name: "Pair",
    hyperparameters: { lr: 1, betas: [0.5, 0.5] },
    update: ({ param, grad }, { lr, betas: [first] }) => ({ param: sub(param, mul(mul(lr, first), grad)) }),
  });
  expect(await codeOf(() => rule({ betas: untyped(Object.assign([], { length: 2 })) }))).toBe(
    "invalid-hyperparameter",
  );
});

test("a context that is no function, and one that goes on later", async () => {
  const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w: new Float32Array(1) }));
  expect(await codeOf(() => wrapper.optimContext(untyped(3)))).toBe("invalid-option");
  const unhandled = vi.fn<(reason: unknown) => void>();
  process.prependOnceListener("unhandledRejection", unhandled);
  const later = () => Promise.reject(new RangeError("later"));
  expect(await codeOf(() => wrapper.optimContext(untyped(later)))).toBe("invalid-option");
  // Node tells of a rejection before timers run.
  await new Promise((resolve) => setTimeout(resolve, 0));
  process.off("unhandledRejection", unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

test.each([null, 5, "dynamic"])("%j are no options of a mixed precision wrapper", async (options) => {
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  expect(["invalid-option", "unknown-option"]).toContain(
    await codeOf(() => createAmpOptimWrapper(optimizer, untyped(options))),
  );
});

test.each([null, 0, "", false, 5, "scale", []])("%j is no state of a loss scaler", async (lossScaler) => {
  for (const lossScale of ["dynamic", undefined] as const) {
    const wrapper = createOptimWrapper(arrayOptimizer(descent(), { w: new Float32Array(1) }), { lossScale });
    const state = { ...(await wrapper.stateDict()), lossScaler: untyped<undefined>(lossScaler) };
    expect(await codeOf(() => wrapper.loadStateDict(untyped(state)))).toBe("invalid-state");
  }
});

test("a value that holds itself is described all the same", async () => {
  const endless: unknown[] = [];
  endless.push(endless);
  expect((await refusal(() => descent({ lr: untyped(endless) }))).message).toContain("[[object Array]]");
});

test("the loss of an update whose step throws is freed, since nobody gets it", async () => {
  const dispose = vi.fn<() => void>();
  const optimizer = arrayOptimizer(descent(), { w: new Float32Array(1) });
  const disposable: Optimizer<LossClosure, { dispose(): void }> = {
    ...optimizer,
    backward(loss) {
      optimizer.backward(loss);
      return { dispose };
    },
  };
  const wrapper = createOptimWrapper(disposable, { onNonFinite: "throw" });
  const update = () => wrapper.updateParams(gradients({ w: [Number.NaN] }), { returnLoss: true });
  expect(await codeOf(update)).toBe("non-finite-gradient");
  expect(dispose).toHaveBeenCalledOnce();
});

test("a loss scaler that was disposed: each use is refused, and a step in mid-window before it changes anything", async () => {
  const w = new Float32Array(1);
  const optimizer = arrayOptimizer(descent(), { w });
  const lossScale = optimizer.createLossScaler("dynamic");
  const wrapper = createOptimWrapper(optimizer, { lossScale });
  const state = await lossScale.stateDict();
  wrapper.backward(gradients({ w: [1] }));
  lossScale.dispose();
  lossScale.dispose();
  const uses = [
    () => wrapper.step(),
    () => lossScale.update(),
    () => lossScale.readScale(),
    () => lossScale.stateDict(),
    () => lossScale.prepareLoad(state),
  ];
  for (const use of uses) expect(await codeOf(use)).toBe("disposed");
  expect(w[0]).toBe(0);
});
