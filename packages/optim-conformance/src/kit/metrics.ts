import type { AnyOptimWrapper } from "@mm/optim-core";
import { expectEqual, expectNumbers, expectRefusal } from "./assert.ts";
import { descent, type Kit, type KitTest } from "./kit.ts";

type Norms = { readonly [parameter: string]: number };

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
    name: "metrics: norms per parameter are those of the last step, until the next backward",
    async run(kit) {
      const initial = { a: [0, 0], b: [0], idle: [0] };
      const subject = kit.wrapped(descent(), initial, { accumulativeCounts: 2, clipGrad: { maxNorm: 1 } });
      const expectNorms = (when: string, expected: Norms | undefined): Promise<void> =>
        expectGradNorms(kit, subject.wrapper, when, expected);
      await expectNorms("before the first step", undefined);
      subject.update({ a: [3, 4], b: [-12] });
      await expectNorms("in mid-window", undefined);
      // (3, 4) ÷ 2 twice, and -12 ÷ 2 and 0.
      subject.update({ a: [3, 4], b: [0] });
      await expectNorms("after a step", { a: 5, b: 6 });
      subject.update({ a: [1, 0] });
      await expectNorms("after the next backward", undefined);
    },
  },
  {
    name: "metrics: norms per parameter are unscaled, and those of a skipped step too",
    async run(kit) {
      const lossScale = { initScale: 8, growthInterval: 1 };
      const subject = kit.wrapped(descent(), { a: [0], b: [0] }, { lossScale });
      subject.update({ a: [3], b: [-4] });
      await expectGradNorms(kit, subject.wrapper, "of a step", { a: 3, b: 4 });
      subject.update({ a: [2], b: [Number.POSITIVE_INFINITY] });
      await expectGradNorms(kit, subject.wrapper, "of a skipped step", { a: 2, b: Number.POSITIVE_INFINITY });
    },
  },
  {
    name: "metrics: an option that is not known is refused",
    async run(kit) {
      const { wrapper } = kit.wrapped(descent(), { w: [0] });
      const per = "group" as "parameter";
      await expectRefusal("metrics", "per", "invalid-option", () => wrapper.readMetrics({ per }));
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

async function expectGradNorms(
  { tolerance }: Kit,
  wrapper: AnyOptimWrapper,
  when: string,
  expected: Norms | undefined,
): Promise<void> {
  const { gradNorms } = await wrapper.readMetrics({ per: "parameter" });
  const names = (norms: Norms | undefined): readonly string[] => Object.keys(norms ?? {}).sort();
  expectEqual("metrics", `parameters with a norm ${when}`, names(gradNorms), names(expected));
  for (const [name, norm] of Object.entries(expected ?? {}))
    expectNumbers(`metrics: norm of ${name} ${when}`, [gradNorms?.[name] as number], [norm], tolerance);
}
