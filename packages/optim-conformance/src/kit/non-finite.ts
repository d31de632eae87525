import type { OptimWrapperOptions } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const nonFiniteTests: readonly KitTest[] = [
  {
    name: "non-finite gradients: skip leaves everything as it was, and is counted",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1, 1] }, { onNonFinite: "skip" });
      subject.update({ w: [1, Number.NaN] });
      await kit.expectParameters("check", subject, { w: [1, 1] });
      subject.update({ w: [1, 0] });
      await kit.expectParameters("check: the next step", subject, { w: [0, 1] });
      const { steps, skipped } = await subject.wrapper.readMetrics();
      expectEqual("check", "steps and skipped", [steps, skipped], [1, 1]);
    },
  },
  {
    name: "non-finite gradients: one parameter's skip the step of all",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [1], b: [1] }, { onNonFinite: "skip" });
      subject.update({ a: [1], b: [-Infinity] });
      await kit.expectParameters("check", subject, { a: [1], b: [1] });
    },
  },
  {
    name: "non-finite gradients: throw refuses the step and keeps parameters",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1, 1] }, { onNonFinite: "throw" });
      await expectRefusal("check", "a step with NaN", "non-finite-gradient", async () => {
        subject.update({ w: [1, Number.NaN] });
        await subject.wrapper.readMetrics();
      });
      await kit.expectParameters("check", subject, { w: [1, 1] });
      // Said once, and the way on is open.
      subject.wrapper.zeroGrad();
      subject.wrapper.backward(subject.loss({ w: [1, 1] }));
      subject.wrapper.step();
      await subject.wrapper.readMetrics();
      await kit.expectParameters("check: the next step", subject, { w: [0, 0] });
    },
  },
  {
    name: "non-finite gradients: a refusal that nobody was told outlives a load",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1, 1] }, { onNonFinite: "throw" });
      const saved = await subject.wrapper.stateDict();
      await expectRefusal("check", "a step with NaN, and a load", "non-finite-gradient", async () => {
        subject.update({ w: [1, Number.NaN] });
        await subject.wrapper.loadStateDict(saved);
        await subject.wrapper.readMetrics();
      });
      // Said once.
      await subject.wrapper.readMetrics();
    },
  },
  {
    name: "non-finite gradients: zero takes those elements as 0",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1, 1, 1, 1] }, { onNonFinite: "zero" });
      subject.update({ w: [1, Number.NaN, Infinity, -Infinity] });
      await kit.expectParameters("check", subject, { w: [0, 1, 1, 1] });
    },
  },
  {
    name: "non-finite gradients: the largest that float32 has are finite",
    async run(kit) {
      const largest = (2 - 2 ** -23) * 2 ** 127;
      for (const onNonFinite of ["skip", "throw", "zero"] as const) {
        const options: OptimWrapperOptions = { onNonFinite };
        const subject = kit.wrapped(descent(2 ** -126), { w: [0, 0] }, options);
        subject.update({ w: [largest, -largest] });
        await kit.expectParameters(`check: ${onNonFinite}`, subject, { w: [-4, 4] });
      }
    },
  },
  {
    name: "non-finite gradients: a skipped step moves no state",
    needs: ["rules"],
    async run(kit) {
      const initials = { w: [1, 2] };
      const skipping = kit.wrapped(adam({ lr: 0.1 }), initials, { onNonFinite: "skip" });
      const clean = kit.wrapped(adam({ lr: 0.1 }), initials);
      for (const gradient of [
        [1, -1],
        [Number.NaN, 1],
        [0.5, 2],
        [Infinity, 0],
        [1, 1],
      ]) {
        skipping.update({ w: gradient });
        if (gradient.every(Number.isFinite)) clean.update({ w: gradient });
      }
      await kit.expectParameters("check", skipping, await clean.read());
      const [state, expected] = [await skipping.optimizer.stateDict(), await clean.optimizer.stateDict()];
      kit.expectState("check", state, expected);
    },
  },
];
