import { adam } from "@mm/optim-rules";
import { expectEqual, expectNumbers } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const lossScaleTests: readonly KitTest[] = [
  {
    name: "loss scale: an overflow skips the step of all parameters",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [1], b: [1] }, { lossScale: 64 });
      subject.update({ a: [1], b: [Infinity] });
      await kit.expectParameters("check", subject, { a: [1], b: [1] });
      subject.update({ a: [1], b: [1] });
      await kit.expectParameters("check: the next step", subject, { a: [0], b: [0] });
      const { steps, skipped, lossScale } = await subject.wrapper.readMetrics();
      expectEqual("loss scale", "steps, skipped and a static scale", [steps, skipped, lossScale], [1, 1, 64]);
    },
  },
  {
    name: "loss scale: a skipped step moves neither moments nor the step count",
    needs: ["rules"],
    async run(kit) {
      const initials = { w: [1, 2] };
      const scaled = kit.wrapped(adam({ lr: 0.1 }), initials, { lossScale: 1024 });
      const clean = kit.wrapped(adam({ lr: 0.1 }), initials);
      for (const gradient of [
        [Infinity, 1],
        [1, -1],
        [Number.NaN, 1],
        [0.5, 2],
      ]) {
        scaled.update({ w: gradient });
        if (gradient.every(Number.isFinite)) clean.update({ w: gradient });
      }
      const [state, expected] = [await scaled.optimizer.stateDict(), await clean.optimizer.stateDict()];
      expectEqual("check", "steps of w", state.params[0]?.step, 2);
      kit.expectState("check", state, expected);
      await kit.expectParameters("check", scaled, await clean.read());
    },
  },
  {
    name: "loss scale: backs off at an overflow, grows after clean updates",
    async run(kit) {
      const lossScale = { initScale: 16, growthFactor: 2, backoffFactor: 0.25, growthInterval: 2 };
      const subject = kit.wrapped(descent(), { w: [0] }, { lossScale });
      const scales: number[] = [];
      for (const gradient of [1, 1, 1, Infinity, 1, Number.NaN, 1, 1]) {
        subject.update({ w: [gradient] });
        scales.push((await subject.wrapper.readMetrics()).lossScale);
      }
      // 16, grown, 32, backed off and the count of clean updates begun anew, …
      expectEqual("loss scale", "scales", scales, [16, 32, 32, 8, 8, 2, 2, 4]);
      expectEqual(
        "loss scale",
        "growthTracker",
        (await subject.wrapper.stateDict()).lossScaler?.growthTracker,
        0,
      );
    },
  },
  {
    name: "loss scale: has a floor",
    async run(kit) {
      const lossScale = { initScale: 4, backoffFactor: 0.25, minScale: 2 };
      const subject = kit.wrapped(descent(), { w: [0] }, { lossScale });
      for (let i = 0; i < 3; i += 1) subject.update({ w: [Infinity] });
      expectEqual("loss scale", "scale", (await subject.wrapper.readMetrics()).lossScale, 2);
    },
  },
  {
    name: "loss scale: never grows past float32",
    async run(kit) {
      const subject = kit.wrapped(
        descent(),
        { w: [0] },
        { lossScale: { initScale: 2 ** 127, growthInterval: 1 } },
      );
      for (let i = 0; i < 3; i += 1) subject.update({ w: [2 ** -60] });
      expectEqual("loss scale", "scale", (await subject.wrapper.readMetrics()).lossScale, 2 ** 127);
    },
  },
  {
    name: "loss scale: factors that are no powers of two are rounded once",
    async run(kit) {
      const lossScale = { initScale: 1000, growthFactor: 1.7, backoffFactor: 0.3, growthInterval: 1 };
      const subject = kit.wrapped(descent(), { w: [0] }, { lossScale });
      let expected = 1000;
      for (const gradient of [1, 1, Infinity, 1, Infinity, Infinity, 1, Infinity, 1, 1, Infinity]) {
        subject.update({ w: [gradient] });
        expected = Math.fround(expected * (Number.isFinite(gradient) ? 1.7 : 0.3));
        expectEqual("loss scale", "scale", (await subject.wrapper.readMetrics()).lossScale, expected);
      }
    },
  },
  {
    name: "loss scale: a gradient that overflows by the scale alone is found",
    async run(kit) {
      const subject = kit.wrapped(
        descent(2 ** -126),
        { w: [0] },
        { lossScale: { initScale: 8, backoffFactor: 0.5 } },
      );
      const skipped: number[] = [];
      for (let i = 0; i < 3; i += 1) {
        subject.update({ w: [2 ** 126] });
        skipped.push((await subject.wrapper.readMetrics()).skipped);
      }
      // × 8 and × 4 are 2¹²⁹ and 2¹²⁸: too large. × 2 fits.
      expectEqual("check", "skipped", skipped, [1, 2, 2]);
      await kit.expectParameters("check", subject, { w: [-1] });
    },
  },
  {
    name: "loss scale: clipping by value does not hide an overflow",
    async run(kit) {
      const options = { lossScale: 4, clipGrad: { type: "value", clipValue: 1 } } as const;
      const subject = kit.wrapped(descent(), { w: [0, 0] }, options);
      subject.update({ w: [1, Infinity] });
      await kit.expectParameters("check", subject, { w: [0, 0] });
    },
  },
  {
    name: "loss scale: one overflow discards its whole window, and no other",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { lossScale: "dynamic", accumulativeCounts: 2 });
      for (const gradient of [Infinity, 1, 2, 4]) subject.update({ w: [gradient] });
      await kit.expectParameters("check", subject, { w: [-3] });
      const { lossScale, skipped } = await subject.wrapper.readMetrics();
      expectEqual("loss scale", "scale and skipped", [lossScale, skipped], [32768, 1]);
    },
  },
  {
    name: "loss scale: the norm of a skipped step is not finite, and no later one suffers",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0, 0] }, { lossScale: 16, clipGrad: { maxNorm: 10 } });
      subject.update({ w: [3, Infinity] });
      const { gradNorm: skipped = 0 } = await subject.wrapper.readMetrics();
      expectEqual("check", "finite", Number.isFinite(skipped), false);
      subject.update({ w: [3, 4] });
      const { gradNorm = Number.NaN } = await subject.wrapper.readMetrics();
      expectNumbers("check: gradNorm", [gradNorm], [5], kit.tolerance);
      await kit.expectParameters("check", subject, { w: [-3, -4] });
    },
  },
];
