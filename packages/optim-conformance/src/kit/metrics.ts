import { expectEqual } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const metricsTests: readonly KitTest[] = [
  {
    name: "metrics: count steps, not micro-batches",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 3 });
      for (let i = 0; i < 7; i += 1) subject.update({ w: [1] });
      const { steps, skipped, lossScale } = await subject.wrapper.readMetrics();
      expectEqual("metrics", "steps, skipped, lossScale", [steps, skipped, lossScale], [2, 0, 1]);
    },
  },
  {
    name: "metrics: a wrapper knows where it is in its window",
    run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 3 });
      const { wrapper } = subject;
      wrapper.initializeCountStatus({ initCounts: 1, maxCounts: 7 });
      const seen = Array.from({ length: 6 }, () => {
        const before = [wrapper.innerCount, wrapper.lossFactor(), wrapper.shouldSync()];
        return [...before, subject.update({ w: [1] }), wrapper.shouldUpdate()];
      });
      expectEqual("metrics", "innerCount, lossFactor, shouldSync; updated, shouldUpdate", seen, [
        [1, 2, false, false, false],
        [2, 2, true, true, true],
        [3, 3, false, false, false],
        [4, 3, false, false, false],
        [5, 3, true, true, true],
        [6, 1, true, true, true],
      ]);
    },
  },
];
