import { adam, adamw, sgd } from "@mm/optim-rules";
import { expectEqual, expectTensors } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const missingGradientTests: readonly KitTest[] = [
  {
    name: "missing gradients: a parameter that the loss does not reach stays",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [1], b: [1] });
      subject.update({ a: [1] });
      subject.update({ b: [1] });
      subject.update({ a: [1] });
      await kit.expectParameters("missing gradients", subject, { a: [-1], b: [0] });
    },
  },
  {
    name: "missing gradients: what another micro-batch of the window gave counts",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [0], b: [0] }, { accumulativeCounts: 2 });
      subject.update({ a: [4], b: [4] });
      subject.update({ a: [4] });
      await kit.expectParameters("missing gradients", subject, { a: [-4], b: [-2] });
    },
  },
  {
    name: "missing gradients: a step without any does nothing",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1] }, { clipGrad: { maxNorm: 1 } });
      subject.wrapper.step();
      subject.update({ w: [0.5] });
      subject.wrapper.step();
      await kit.expectParameters("missing gradients", subject, { w: [0.5] });
    },
  },
  {
    name: "missing gradients: no momentum, no weight decay, no step",
    needs: ["rules", "perParameterSteps"],
    async run(kit) {
      const momentum = kit.subject(sgd({ lr: 1, momentum: 0.5, weightDecay: 0.1 }), { a: [1], b: [2] });
      momentum.train({ a: [1], b: [1] });
      const [{ b: before }, { params: saved }] = [
        await momentum.read(),
        await momentum.optimizer.stateDict(),
      ];
      momentum.train({ a: [1] });
      momentum.train({ a: [1] });
      const [{ b: after }, { params }] = [await momentum.read(), await momentum.optimizer.stateDict()];
      expectTensors(
        "missing gradients",
        { b: after as Float32Array },
        { b: before as Float32Array },
        "exact",
      );
      expectTensors("missing gradients: slots of b", params[1]?.slots ?? {}, saved[1]?.slots ?? {}, "exact");
      expectEqual(
        "missing gradients",
        "steps",
        params.map(({ step }) => step),
        [3, 1],
      );
      const decay = kit.subject(adamw({ lr: 1, weightDecay: 0.5 }), { a: [1], b: [8] });
      decay.train({ a: [1] });
      const { b } = await decay.read();
      expectTensors("missing gradients", { b: b as Float32Array }, { b: [8] }, "exact");
    },
  },
  {
    name: "missing gradients: each parameter counts its own steps",
    needs: ["rules", "perParameterSteps"],
    async run(kit) {
      const rule = adam({ lr: 0.1 });
      const subject = kit.subject(rule, { a: [1], b: [1] });
      subject.train({ a: [1] });
      subject.train({ a: [1] });
      subject.train({ a: [1], b: [2] });
      // The first step of Adam has the length of its learning rate, whenever it comes.
      const { b } = await subject.read();
      expectTensors("missing gradients", { b: b as Float32Array }, { b: [0.9] }, kit.tolerance);
    },
  },
  {
    name: "missing gradients: a gradient of zeros is not a missing one",
    needs: ["rules", "perParameterSteps"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { w: [0] });
      subject.train({ w: [4] });
      subject.train({ w: [0] });
      await kit.expectParameters("missing gradients", subject, { w: [-6] });
    },
  },
  {
    name: "missing gradients: after zeroGrad they are absent, not zero",
    needs: ["rules", "perParameterSteps"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { a: [0], b: [0] });
      subject.train({ a: [4], b: [4] });
      subject.train({ a: [4] });
      await kit.expectParameters("missing gradients", subject, { a: [-10], b: [-4] });
    },
  },
  {
    name: "missing gradients: are not read either",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { a: [0], b: [0], c: [0] });
      subject.backward({ a: [1], c: [0] });
      expectTensors(
        "missing gradients",
        await subject.optimizer.readGradients(),
        { a: [1], c: [0] },
        "exact",
      );
      subject.optimizer.zeroGrad();
      expectTensors(
        "missing gradients: after zeroGrad",
        await subject.optimizer.readGradients(),
        {},
        "exact",
      );
    },
  },
];
