import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import {
  add,
  type BaseHyperparameters,
  defineUpdateRule,
  div,
  mul,
  norm,
  type Scalar,
  sub,
  type Tensor,
  type UpdateRule,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { expect, test } from "vitest";
import { refusal } from "../../../test-support/refusal.ts";
import { arrayOptimizer, descent, gradients, type LossClosure, observed, type Observed } from "./backend.ts";

interface MeanHyperparameters extends BaseHyperparameters {
  lr: number;
  share: number;
}

/** θ ← θ − ηg; x begins as the parameter, and goes half of the way after it. Evaluated at x + share. */
const mean: UpdateRuleFactory<MeanHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "Mean",
  hyperparameters: { lr: 1, share: 0 },
  slots: () => ({ other: 5, x: "param" }),
  scalarSlots: () => ({ count: 0 }),
  update({ param, grad, other, x, count }, { lr }) {
    const next = sub(param, mul(lr, grad));
    return { param: next, other: add(other, grad), x: add(x, mul(0.5, sub(next, x))), count: add(count, 1) };
  },
  evaluate: ({ x }, { share }) => add(x, share),
});

function subject<H extends BaseHyperparameters>(
  rule: UpdateRule<H>,
  arrays: { readonly [name: string]: Float32Array },
  seen: Observed = observed(),
) {
  const wrapper = createOptimWrapper(arrayOptimizer(rule, arrays, seen));
  const train = (of: { readonly [name: string]: readonly number[] }): void =>
    void wrapper.updateParams(gradients(of));
  return { wrapper, train, seen };
}

test("a slot that begins as the parameter holds what the parameter held before its first step", async () => {
  const w = Float32Array.of(8, -0);
  const { wrapper, train } = subject(mean(), { w });
  w[0] = 10; // the model may be loaded after the optimizer was made
  train({ w: [2, 0] }); // θ = 8, x = 10 + 0.5·(8 − 10) = 9
  const { x } = await wrapper.readSlots(["x"]);
  expect(x["w"]).toEqual(Float32Array.of(9, 0));
});

test("evaluating puts the point into the parameters, and back to the bit what was trained", async () => {
  const [w, still] = [Float32Array.of(10, 1), Float32Array.of(7)];
  const { wrapper, train } = subject(mean({ share: 0.25 }), { w, still });
  train({ w: [2, 0.1] }); // θ = (8, 0.9)
  const trained = w.slice();
  const seen = await wrapper.evaluating(async () => {
    await Promise.resolve();
    return [...w, ...still];
  });
  expect(seen).toEqual([9.25, Math.fround(0.95) + 0.25, 7].map(Math.fround)); // `still` took no step
  expect(w).toEqual(trained);
  expect(await wrapper.evaluating(() => w[0])).toBe(9.25);
});

test("back it comes whatever becomes of the run", async () => {
  const w = Float32Array.of(10);
  const { wrapper, train, seen } = subject(mean(), { w });
  train({ w: [2] });
  const { live } = seen;
  await expect(
    wrapper.evaluating(() => {
      throw new Error("from the run");
    }),
  ).rejects.toThrow("from the run");
  await expect(wrapper.evaluating(() => Promise.reject(new Error("later")))).rejects.toThrow("later");
  expect((await refusal(() => wrapper.evaluating(1 as never))).code).toBe("invalid-option");
  expect(w[0]).toBe(8);
  expect(seen.live).toBe(live); // the vector that kept what was trained is free again
});

test("the two halves: swapOut without swapIn does nothing, dispose swaps out", async () => {
  const w = Float32Array.of(10);
  const { wrapper, train, seen } = subject(mean(), { w });
  wrapper.swapOut();
  train({ w: [2] });
  wrapper.swapIn();
  expect(w[0]).toBe(9);
  wrapper.swapOut();
  wrapper.swapOut();
  expect(w[0]).toBe(8);
  const running = wrapper.evaluating(() => {
    wrapper.dispose();
    return w[0];
  });
  expect(await running).toBe(8);
  wrapper.swapOut();
  expect(seen.live).toBe(0);
});

/** All that is refused while an evaluation point is in. */
function callsOf(wrapper: OptimWrapper<LossClosure, number>): { readonly [name: string]: () => unknown } {
  const { optimizer } = wrapper;
  const loss = gradients({ w: [1] });
  return {
    "wrapper.updateParams": () => wrapper.updateParams(loss),
    "wrapper.backward": () => wrapper.backward(loss),
    "wrapper.step": () => wrapper.step(),
    "wrapper.skip": () => wrapper.skip(),
    "wrapper.flush": () => wrapper.flush(),
    "wrapper.stateDict": () => wrapper.stateDict(),
    "wrapper.loadStateDict": () => wrapper.loadStateDict({} as never),
    "wrapper.swapIn": () => wrapper.swapIn(),
    "wrapper.evaluating": () => wrapper.evaluating(() => 1),
    "optimizer.backward": () => optimizer.backward(loss),
    "optimizer.step": () => optimizer.step(),
    "optimizer.stateDict": () => optimizer.stateDict(),
    "optimizer.prepareLoad": () => optimizer.prepareLoad({} as never),
    "optimizer.writeGradients": () => optimizer.writeGradients({ w: Float32Array.of(1) }),
    "optimizer.writeParameters": () => optimizer.writeParameters({ w: Float32Array.of(1) }),
    "optimizer.addParamGroup": () => optimizer.addParamGroup({ params: { z: Float32Array.of(1) } } as never),
    "optimizer.swapIn": () => optimizer.swapIn(),
  };
}

test("meanwhile what would mix up the two is refused, of every optimizer over these parameters", async () => {
  const w = Float32Array.of(10);
  const { wrapper, train } = subject(mean(), { w });
  const { wrapper: other } = subject(descent(), { w, v: Float32Array.of(1) });
  train({ w: [2] });
  const before = await wrapper.stateDict();
  wrapper.swapIn();
  for (const one of [wrapper, other]) {
    for (const [name, call] of Object.entries(callsOf(one))) {
      expect([name, (await refusal(call)).code]).toEqual([name, "evaluating"]);
    }
  }
  expect(w[0]).toBe(9);
  expect((await wrapper.optimizer.readParameters())["w"]).toEqual(Float32Array.of(9));
  expect((await wrapper.readSlots(["x"])).x["w"]).toEqual(Float32Array.of(9));
  wrapper.swapOut();
  expect(w[0]).toBe(8);
  expect(await wrapper.stateDict()).toEqual(before);
  expect(wrapper.innerCount).toBe(1);
  other.updateParams(gradients({ w: [1] }));
  expect(w[0]).toBe(7);
});

test("a load that is staged comes first", async () => {
  const { wrapper, train } = subject(mean(), { w: Float32Array.of(10) });
  train({ w: [2] });
  const load = wrapper.prepareLoad(await wrapper.stateDict());
  expect((await refusal(() => wrapper.swapIn())).code).toBe("load-pending");
  load.commit();
  wrapper.swapIn();
  wrapper.swapOut();
});

test("a rule without an evaluation point runs as it is", async () => {
  const w = Float32Array.of(10);
  const { wrapper, train } = subject(descent(), { w });
  train({ w: [2] });
  const inside = await wrapper.evaluating(() => wrapper.evaluating(() => (train({ w: [1] }), w[0])));
  expect(inside).toBe(7);
});

test("frozen parameters, and hyperparameters that change meanwhile", async () => {
  const w = Float32Array.of(10);
  const { wrapper, train } = subject(mean({ share: 1 }), { w });
  train({ w: [2] });
  wrapper.freeze(["w"]);
  wrapper.swapIn();
  expect(w[0]).toBe(10);
  wrapper.paramGroups[0].share = 4;
  wrapper.swapOut();
  expect(w[0]).toBe(8);
  expect(await wrapper.evaluating(() => w[0])).toBe(13);
});

test("a swap that fails leaves all as it was", async () => {
  const w = Float32Array.of(10);
  const seen = observed();
  const { wrapper, train } = subject(mean(), { w, v: Float32Array.of(1) }, seen);
  train({ w: [2], v: [1] });
  const before = await wrapper.stateDict();
  const { live } = seen;
  seen.room = live + 1; // for one of the two
  await expect(wrapper.evaluating(() => 1)).rejects.toThrow("out of memory");
  expect([w[0], seen.live]).toEqual([8, live]);
  expect(await wrapper.stateDict()).toEqual(before);
  train({ w: [1] });
});

test("a state without a slot that begins as the parameter: it begins at the next step", async () => {
  const w = Float32Array.of(10);
  const { wrapper, train } = subject(mean(), { w });
  train({ w: [2] });
  const state = await wrapper.stateDict();
  const [saved] = state.optimizer.params;
  const { x: _x, ...slots } = saved?.slots ?? {};
  const lacking = {
    ...state,
    optimizer: { ...state.optimizer, params: [{ ...saved, step: 0, slots, scalarSlots: {} }] },
  };
  await wrapper.loadStateDict(lacking as typeof state);
  w[0] = 100; // the model is loaded after its optimizer
  train({ w: [2] }); // θ = 98, x = 100 − 1
  expect((await wrapper.readSlots(["x"])).x["w"]).toEqual(Float32Array.of(99));
});

test("a state of step 0 has no slot that begins as the parameter, whatever slots it has: it begins at the next step", async () => {
  const { wrapper: fresh } = subject(mean(), { w: Float32Array.of(1) });
  const untrained = await fresh.stateDict();
  const { wrapper: trained, train: go } = subject(mean(), { w: Float32Array.of(10) });
  go({ w: [2] });
  await trained.loadStateDict(untrained);
  // The other slot stays, at its beginning.
  const begun = await trained.stateDict();
  expect(begun.optimizer.params[0]).toMatchObject({ step: 0, slots: { other: Float32Array.of(5) } });
  // An optimizer whose first step was skipped by a device has made the slot all the same.
  const early = structuredClone(begun);
  Object.assign(early.optimizer.params[0]?.slots ?? {}, { x: Float32Array.of(10) });
  for (const state of [begun, early]) {
    const w = Float32Array.of(6);
    const { wrapper, train } = subject(mean(), { w });
    await wrapper.loadStateDict(state);
    expect((await wrapper.stateDict()).optimizer.params[0]?.slots).not.toHaveProperty("x");
    w[0] = 4; // the model may be loaded after its optimizer
    await wrapper.evaluating(() => expect(w[0]).toBe(4));
    train({ w: [2] }); // θ = 2, x = 4 + 0.5·(2 − 4) = 3
    await wrapper.evaluating(() => expect(w[0]).toBe(3));
  }
});

test("readSlots refuses names that no rule has, and reads nothing but what is named", async () => {
  const seen = observed();
  const read: number[] = [];
  seen.engine = {
    read: (vectors) => {
      read.push(vectors.length);
      return Promise.resolve(vectors.map((vector) => vector.slice()));
    },
  };
  const { wrapper, train } = subject(mean(), { w: Float32Array.of(10), v: Float32Array.of(1) }, seen);
  expect(await wrapper.readSlots(["x"])).toEqual({ x: {} });
  train({ w: [2] });
  const { x, other } = await wrapper.readSlots(["x", "other"]);
  expect([{ ...x }, { ...other }]).toEqual([{ w: Float32Array.of(9) }, { w: Float32Array.of(7) }]);
  expect(read).toEqual([0, 2]);
  for (const name of ["y", "master", "count", "trained"]) {
    const error = await refusal(() => wrapper.readSlots([name]));
    expect([error.code, error.message]).toEqual(["unknown-name", expect.stringContaining("other, x")]);
  }
  expect((await refusal(() => wrapper.readSlots("x" as never))).code).toBe("invalid-option");
});

test("an evaluation point may use scalar slots, and nothing that has to be summed", () => {
  interface Inputs {
    readonly param: Tensor;
    readonly s: Tensor;
    readonly t: Scalar;
  }
  const define = (evaluate: (x: Inputs) => unknown) =>
    defineUpdateRule({
      name: "Odd",
      hyperparameters: { lr: 1 },
      slots: () => ({ s: 0 }),
      scalarSlots: () => ({ t: 2 }),
      update: ({ param, grad, t }) => ({ param: sub(param, grad), s: grad, t: add(t, 2) }),
      evaluate: evaluate as (x: Inputs) => Tensor,
    })();
  const w = Float32Array.of(10);
  const { wrapper, train } = subject(
    define(({ param, t }) => div(param, t)),
    { w },
  );
  train({ w: [2] }); // θ = 8, t = 4
  wrapper.swapIn();
  expect(w[0]).toBe(2);
  wrapper.swapOut();
  for (const wrong of [
    ({ param }: Inputs) => mul(param, norm(param)),
    ({ t }: Inputs) => t,
    (x: object) => (x as { readonly grad: Tensor }).grad,
    () => 1,
  ]) {
    expect(() => subject(define(wrong), { w })).toThrow(
      expect.objectContaining({
        code: "invalid-rule",
        message: expect.stringContaining("Odd: evaluate") as unknown,
      }),
    );
  }
});
