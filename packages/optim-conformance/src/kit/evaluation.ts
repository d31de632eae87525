import { createOptimWrapper } from "@mm/optim-core";
import { add, defineUpdateRule, div, mul, sub, type UpdateRule } from "@mm/optim-core/rule";
import { adam } from "@mm/optim-rules";
import { expectEqual, expectRefusal, expectTensors } from "./assert.ts";
import { descent, type Gradients, type Initials, type Kit, type KitTest, Subject } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

/** Descent, beside which x goes after the parameter by a share; the model is used at x. */
const following = /* @__PURE__ */ defineUpdateRule({
  name: "Following",
  hyperparameters: { lr: 1, share: 0.5 },
  slots: () => ({ x: "param" }),
  update({ param, grad, x }, { lr, share }) {
    const next = sub(param, mul(lr, grad));
    return { param: next, x: add(x, mul(share, sub(next, x))) };
  },
  evaluate: ({ x }) => x,
});

/** Adam's averages, a sum of parameters in another slot, and the number of its terms in a scalar slot; the model is used at their mean. */
const averaging = /* @__PURE__ */ defineUpdateRule({
  name: "Averaging",
  hyperparameters: { lr: 0.1, away: 0.25 },
  slots: () => ({ speed: 0, sum: 0, began: "param" }),
  scalarSlots: () => ({ terms: 0 }),
  update({ param, grad, speed, sum, began, terms }, { lr }) {
    const faster = add(mul(0.5, speed), grad);
    const next = sub(param, mul(lr, faster));
    return { param: next, speed: faster, sum: add(sum, next), began, terms: add(terms, 1) };
  },
  evaluate: ({ param, sum, began, terms }, { away }) => add(div(sum, terms), mul(away, sub(param, began))),
});

const initialsOf = (next: () => number): Initials => ({
  w: noise(next, 37),
  matrix: { shape: [5, 3], values: noise(next, 15) },
  scalar: { shape: [], values: [0.5] },
  empty: [],
  still: [1, 2],
});

const gradientsOf = (next: () => number): Gradients => ({
  w: noise(next, 37),
  matrix: noise(next, 15),
  scalar: noise(next, 1),
  empty: [],
});

export const evaluationTests: readonly KitTest[] = [
  {
    name: "evaluation: the point stands in the parameters inside, and what was trained comes back",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.wrapped(following(), { w: [8, -2], still: [7] });
      const { wrapper } = subject;
      subject.update({ w: [4, 2] });
      // θ = (4, −4), x = (8, −2) + 0.5 × (θ − x)
      const inside = await wrapper.evaluating(() => subject.read());
      expectTensors("evaluation", inside, { w: [6, -3], still: [7] }, kit.tolerance);
      await kit.expectParameters("evaluation: after it", subject, { w: [4, -4], still: [7] });
      subject.update({ w: [4, 2] });
      // θ = (0, −6), x = (6, −3) + 0.5 × (θ − x)
      const again = await wrapper.evaluating(() => subject.read());
      expectTensors("evaluation: the next", again, { w: [3, -4.5], still: [7] }, kit.tolerance);
    },
  },
  {
    name: "evaluation: points of any shape are those of the reference, and training goes on to the bit",
    needs: ["rules"],
    run: (kit) => beside(kit, (one, gradients) => one.train(gradients)),
  },
  {
    name: "evaluation: the same where steps may be skipped, and a device counts them",
    needs: ["rules"],
    run: (kit) =>
      beside(kit, (one, gradients, step) => {
        const { w } = gradients;
        const spoilt = Float32Array.from(w as ArrayLike<number>);
        if (step === 2) spoilt[5] = Number.NaN;
        one.train({ ...gradients, w: spoilt }, { onNonFinite: "skip", clipGrad: { maxNorm: 1 } });
      }),
  },
  {
    name: "evaluation: what was trained comes back to the bit, whatever it is",
    needs: ["rules"],
    async run(kit) {
      const odd = [Number.NaN, Infinity, -Infinity, -0, 1e-30, 3.4e38, 1 / 3];
      const subject = kit.subject(following({ lr: 0 }), { w: odd });
      subject.train({ w: odd.map(() => 1) });
      const before = await subject.read();
      subject.optimizer.swapIn();
      subject.optimizer.swapOut();
      expectTensors("evaluation", await subject.read(), before, "exact");
    },
  },
  {
    name: "evaluation: a group without an evaluation point stays, frozen parameters that took steps do not",
    needs: ["rules", "groups"],
    async run(kit) {
      const subject = kit.subject<{ lr: number }>(following({ share: 0.25 }), [
        { params: { w: [8], frozen: [8] } },
        { params: { plain: [8] }, rule: descent() },
      ]);
      subject.train({ w: [4], frozen: [4], plain: [4] });
      subject.optimizer.freeze(["frozen"]);
      subject.optimizer.swapIn();
      await kit.expectParameters("evaluation", subject, { w: [7], frozen: [7], plain: [4] });
      subject.optimizer.swapOut();
      await kit.expectParameters("evaluation: after it", subject, { w: [4], frozen: [4], plain: [4] });
    },
  },
  {
    name: "evaluation: a state carries the point, and slots that begin as the parameter",
    needs: ["rules", "portableState"],
    async run(kit) {
      const next = repeatable(23);
      const one = kit.subject(averaging(), initialsOf(next));
      for (let step = 0; step < 3; step += 1) one.train(gradientsOf(next));
      const other = kit.over(averaging(), one);
      other.optimizer.prepareLoad(await one.optimizer.stateDict()).commit();
      one.optimizer.swapIn();
      const points = await one.read();
      one.optimizer.swapOut();
      // It took no step, and holds no gradient.
      other.optimizer.swapIn();
      expectTensors("evaluation", await other.read(), points, "exact");
      other.optimizer.swapOut();
    },
  },
  {
    name: "evaluation: meanwhile whatever would mix up the two is refused, by every optimizer over the parameters",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.wrapped(following(), { w: [8] });
      const other = kit.over(descent(), subject);
      subject.update({ w: [4] });
      const { wrapper, optimizer } = subject;
      const state = await wrapper.stateDict();
      const loss = subject.loss({ w: [1] });
      wrapper.swapIn();
      const calls: Readonly<Record<string, () => unknown>> = {
        "wrapper.updateParams": () => wrapper.updateParams(loss),
        "wrapper.backward": () => wrapper.backward(loss),
        "wrapper.step": () => wrapper.step(),
        "wrapper.skip": () => wrapper.skip(),
        "wrapper.flush": () => wrapper.flush(),
        "wrapper.stateDict": () => wrapper.stateDict(),
        "wrapper.loadStateDict": () => wrapper.loadStateDict(state),
        "wrapper.evaluating": () => wrapper.evaluating(() => 1),
        "optimizer.backward": () => optimizer.backward(loss),
        "optimizer.step": () => optimizer.step(),
        "optimizer.stateDict": () => optimizer.stateDict(),
        "optimizer.prepareLoad": () => optimizer.prepareLoad(state.optimizer),
        "optimizer.addParamGroup": () => optimizer.addParamGroup({ params: { z: kit.parameter([1]) } }),
        "optimizer.swapIn": () => optimizer.swapIn(),
        ...(kit.capabilities.transfer && {
          "optimizer.writeGradients": () => optimizer.writeGradients({ w: Float32Array.of(1) }),
          "optimizer.writeParameters": () => optimizer.writeParameters({ w: Float32Array.of(1) }),
        }),
        "another.backward": () => other.optimizer.backward(loss),
        "another.step": () => other.optimizer.step(),
        "another.stateDict": () => other.optimizer.stateDict(),
        "another.swapIn": () => other.optimizer.swapIn(),
      };
      for (const [name, call] of Object.entries(calls)) {
        await expectRefusal("evaluation", name, "evaluating", call);
      }
      await kit.expectParameters("evaluation", subject, { w: [6] });
      wrapper.swapOut();
      await kit.expectParameters("evaluation: after it", subject, { w: [4] });
      kit.expectState("evaluation: state", await optimizer.stateDict(), state.optimizer);
      other.train({ w: [1] });
      await kit.expectParameters("evaluation: trained on", subject, { w: [3] });
    },
  },
  {
    name: "evaluation: a rule without an evaluation point is evaluated as it is",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [8] });
      subject.update({ w: [4] });
      const inside = await subject.wrapper.evaluating(async () => {
        subject.update({ w: [1] });
        return subject.read();
      });
      expectTensors("evaluation", inside, { w: [3] }, kit.tolerance);
      await kit.expectParameters("evaluation: after it", subject, { w: [3] });
    },
  },
  {
    name: "evaluation: nothing lasts, and dispose in its midst puts back what was trained",
    needs: ["rules"],
    async run(kit) {
      const w = kit.parameter([8, 1]);
      const before = kit.factory.liveAllocations();
      const wrapper = createOptimWrapper(kit.factory.createOptimizer(following(), { w }));
      const loss = kit.factory.linearLoss([{ name: "w", parameter: w, gradient: Float32Array.of(4, 0) }]);
      wrapper.updateParams(loss);
      await wrapper.evaluating(() => 1);
      const settled = kit.factory.liveAllocations();
      for (let i = 0; i < 3; i += 1) {
        wrapper.swapIn();
        wrapper.swapOut();
      }
      expectEqual("evaluation", "live allocations", kit.factory.liveAllocations(), settled);
      wrapper.swapIn();
      wrapper.dispose();
      wrapper.swapOut();
      expectEqual("evaluation", "live allocations after dispose", kit.factory.liveAllocations(), before);
      const plain = kit.factory.createOptimizer(descent(), { w });
      kit.afterwards(() => plain.dispose());
      await kit.expectParameters("evaluation", new Subject(kit.factory, plain, new Map([["w", w]])), {
        w: [4, 1],
      });
    },
  },
  {
    name: "evaluation: readSlots gives the slots that are named, and no others",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.subject(adam({ betas: [0.5, 0.75] }), { w: [1, 2], still: [3] });
      expectEqual("state", "slots", await subject.optimizer.readSlots(["expAvg"]), { expAvg: {} });
      subject.train({ w: [4, -2] });
      const { expAvg, expAvgSq } = await subject.optimizer.readSlots(["expAvg", "expAvgSq"]);
      // m = 0.5 g, v = 0.25 g²
      expectTensors("state: expAvg", expAvg, { w: [2, -1] }, kit.tolerance);
      expectTensors("state: expAvgSq", expAvgSq, { w: [4, 1] }, kit.tolerance);
      await expectRefusal("state", "a slot that no rule has", "unknown-name", () =>
        subject.optimizer.readSlots(["momentumBuffer"]),
      );
    },
  },
];

/** Trains beside the reference, looks at the point after each step, and compares with a run that never looks. */
async function beside(
  kit: Kit,
  train: (one: Subject, gradients: Gradients, step: number) => void,
): Promise<void> {
  const next = repeatable(24);
  const rule: UpdateRule = averaging();
  const initials = initialsOf(next);
  const subject = kit.subject(rule, initials);
  const reference = kit.reference(subject, rule, initials);
  const undisturbed = kit.subject(rule, initials);
  for (let step = 0; step < 5; step += 1) {
    const gradients = gradientsOf(next);
    for (const one of [subject, reference, undisturbed]) train(one, gradients, step);
    for (const one of [subject, reference]) one.optimizer.swapIn();
    await kit.expectReference(`evaluation: after step ${step + 1}`, subject, reference);
    for (const one of [subject, reference]) one.optimizer.swapOut();
    expectTensors("evaluation: trained on", await subject.read(), await undisturbed.read(), "exact");
  }
  const [state, plain] = [await subject.optimizer.stateDict(), await undisturbed.optimizer.stateDict()];
  expectEqual("evaluation", "metrics", [state.steps, state.skipped], [plain.steps, plain.skipped]);
  kit.expectState("evaluation: state", state, plain);
}
