import { adam } from "@mm/optim-rules";
import { expectEqual, expectNumbers } from "./assert.ts";
import { descent, type Gradients, type KitTest } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

export const accumulationTests: readonly KitTest[] = [
  {
    name: "accumulation: backwards add up until zeroGrad",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [10, 10] });
      subject.backward({ w: [1, 2] });
      subject.backward({ w: [3, -1] });
      subject.optimizer.step();
      await kit.expectParameters("accumulation", subject, { w: [6, 9] });
      // The gradients stay: another step takes them again.
      subject.optimizer.step();
      await kit.expectParameters("accumulation: a second step", subject, { w: [2, 8] });
      subject.optimizer.zeroGrad();
      subject.train({ w: [1, 1] });
      await kit.expectParameters("accumulation: after zeroGrad", subject, { w: [1, 7] });
    },
  },
  {
    name: "accumulation: scale multiplies each backward by its own",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0] });
      subject.backward({ w: [8] }, { scale: 0.5 });
      subject.backward({ w: [8] }, { scale: 0.25 });
      subject.optimizer.step();
      await kit.expectParameters("accumulation", subject, { w: [-6] });
    },
  },
  {
    name: "accumulation: a window is stepped once, by the mean of its micro-batches",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [10, 10] }, { accumulativeCounts: 2 });
      expectEqual("accumulation", "updated by the first", subject.update({ w: [2, 4] }), false);
      await kit.expectParameters("accumulation: in mid-window", subject, { w: [10, 10] });
      expectEqual("accumulation", "updated by the second", subject.update({ w: [4, -8] }), true);
      // (2 + 4) ÷ 2, (4 − 8) ÷ 2
      await kit.expectParameters("accumulation", subject, { w: [7, 12] });
      subject.update({ w: [1, 1] });
      subject.update({ w: [1, 1] });
      await kit.expectParameters("accumulation: the next window", subject, { w: [6, 11] });
    },
  },
  {
    name: "accumulation: the last window, cut short, is divided by its own length",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 3 });
      subject.wrapper.initializeCountStatus({ maxCounts: 5 });
      const updated = [6, 6, 6, 4, 8].map((gradient) => subject.update({ w: [gradient] }));
      expectEqual("accumulation", "updated", updated, [false, false, true, false, true]);
      // −6 for the first window, −(4 + 8) ÷ 2 for the second
      await kit.expectParameters("accumulation", subject, { w: [-12] });
    },
  },
  {
    name: "accumulation: flush steps a short window, divided by its own length",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 4 });
      expectEqual("accumulation", "flush of an empty window", subject.wrapper.flush().updated, false);
      subject.update({ w: [2] });
      subject.update({ w: [4] });
      expectEqual("accumulation", "flush", subject.wrapper.flush().updated, true);
      await kit.expectParameters("accumulation", subject, { w: [-3] });
      // Two more end the window that began there.
      expectEqual(
        "accumulation",
        "updated",
        [subject.update({ w: [1] }), subject.update({ w: [3] })],
        [false, true],
      );
      await kit.expectParameters("accumulation: the rest", subject, { w: [-5] });
    },
  },
  {
    name: "accumulation: weights make a weighted mean",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      subject.wrapper.updateParams(subject.loss({ w: [4] }), { weight: 3 });
      subject.wrapper.updateParams(subject.loss({ w: [8] }), { weight: 1 });
      // (3 × 4 + 1 × 8) ÷ (3 + 1)
      await kit.expectParameters("accumulation", subject, { w: [-5] });
    },
  },
  {
    name: "accumulation: any window equals one batch of its mean",
    needs: ["rules"],
    async run(kit) {
      for (const accumulativeCounts of [1, 2, 3, 4, 7]) {
        const next = repeatable(accumulativeCounts);
        const initials = { w: noise(next, 5), b: noise(next, 2) };
        const windowed = kit.wrapped(adam({ lr: 0.1 }), initials, { accumulativeCounts });
        const whole = kit.wrapped(adam({ lr: 0.1 }), initials);
        for (let step = 0; step < 3; step += 1) {
          const batches = Array.from({ length: accumulativeCounts }, () => ({
            w: noise(next, 5),
            b: noise(next, 2),
          }));
          for (const batch of batches) windowed.update(batch);
          whole.update(meanOf(batches));
        }
        await kit.expectParameters(
          `accumulation: ${accumulativeCounts} in a window`,
          windowed,
          await whole.read(),
        );
      }
    },
  },
  {
    name: "accumulation: a closure that throws leaves counts and gradients as they were",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      subject.update({ w: [2] });
      const complete = subject.loss({ w: [100] });
      const failing = (pass: never): never => {
        complete(pass);
        throw new RangeError("from the closure");
      };
      let caught: unknown;
      try {
        subject.wrapper.updateParams(failing);
      } catch (error) {
        caught = error;
      }
      expectEqual("accumulation", "error of the closure", String(caught), "RangeError: from the closure");
      expectEqual("accumulation", "innerCount", subject.wrapper.innerCount, 1);
      subject.update({ w: [4] });
      await kit.expectParameters("accumulation", subject, { w: [-3] });
    },
  },
  {
    name: "accumulation: returnLoss gives the closure's own value",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [2, 3] }, { accumulativeCounts: 4, lossScale: 1024 });
      const { loss } = subject.wrapper.updateParams(subject.loss({ w: [1, 10] }), { returnLoss: true });
      // 2 × 1 + 3 × 10, neither divided by the window nor scaled
      expectNumbers("accumulation: loss", [await kit.factory.readLoss(loss)], [32], kit.tolerance);
      const without = subject.wrapper.updateParams(subject.loss({ w: [1, 10] }));
      expectEqual("accumulation", "a loss that nobody asked for", "loss" in without, false);
    },
  },
  {
    name: "accumulation: backward returns nothing unless it is asked for the loss",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [2, 3] });
      const given = { w: [1, 10] };
      for (const returnLoss of [undefined, false]) {
        const nothing = subject.optimizer.backward(subject.loss(given), { returnLoss });
        expectEqual(
          "accumulation",
          `what backward returns, returnLoss: ${String(returnLoss)}`,
          nothing,
          undefined,
        );
      }
      const loss = subject.optimizer.backward(subject.loss(given), { returnLoss: true, scale: 0.25 });
      // 2 × 1 + 3 × 10, not scaled
      expectNumbers("accumulation: loss", [await kit.factory.readLoss(loss)], [32], kit.tolerance);
    },
  },
];

function meanOf(batches: readonly Gradients[]): Gradients {
  const [first = {}] = batches;
  return Object.fromEntries(
    Object.entries(first).map(([name, values]) => [
      name,
      Float32Array.from(values, (_, index) =>
        batches.reduce((sum, batch) => sum + (batch[name]?.[index] as number) / batches.length, 0),
      ),
    ]),
  );
}
