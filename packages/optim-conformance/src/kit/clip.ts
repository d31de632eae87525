import type { ClipGrad } from "@mm/optim-core";
import { expectEqual, expectNumbers, expectRefusal } from "./assert.ts";
import { descent, type Kit, type KitTest } from "./kit.ts";

/** p-norms of (3, −4): 7, 5, ∛(27 + 64), (√3 + √4)², 4 */
const norms: readonly (readonly [p: number, norm: number])[] = [
  [1, 7],
  [2, 5],
  [3, Math.cbrt(91)],
  [0.5, (Math.sqrt(3) + 2) ** 2],
  [Infinity, 4],
];

export const clipTests: readonly KitTest[] = [
  ...norms.map(([p, norm]): KitTest => ({
    name: `clip: by the ${p === Infinity ? "inf" : p}-norm of all parameters together`,
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [0], b: [0] }, { clipGrad: { maxNorm: 1, normType: p } });
      subject.update({ a: [3], b: [-4] });
      await kit.expectParameters("clip", subject, { a: [-3 / norm], b: [4 / norm] });
      const { gradNorm } = await subject.wrapper.readMetrics();
      expectNumbers("clip: gradNorm, before clipping", [gradNorm ?? Number.NaN], [norm], kit.tolerance);
    },
  })),
  {
    name: "clip: a norm that is small enough changes nothing",
    run: (kit) => clipped(kit, { maxNorm: 10 }, [3, -4], [3, -4]),
  },
  {
    name: "clip: a norm of 0 is no division by 0",
    run: (kit) => clipped(kit, { maxNorm: 1 }, [0, 0], [0, 0]),
  },
  {
    name: "clip: to nothing at all",
    run: (kit) => clipped(kit, { maxNorm: 0 }, [3, -4], [0, 0]),
  },
  {
    name: "clip: by value, each element",
    run: (kit) => clipped(kit, { type: "value", clipValue: 2 }, [3, -4, 1, -2], [2, -2, 1, -2]),
  },
  {
    name: "clip: by value bounds infinities and leaves NaN",
    run: (kit) =>
      clipped(kit, { type: "value", clipValue: 2 }, [Infinity, -Infinity, Number.NaN], [2, -2, Number.NaN]),
  },
  {
    name: "clip: finite gradients have a finite norm, however large",
    // √2 × 1e20, whose square no float32 holds
    run: (kit) => clipped(kit, { maxNorm: 1 }, [1e20, -1e20], [Math.SQRT1_2, -Math.SQRT1_2]),
  },
  {
    name: "clip: tiny gradients have a norm",
    // √2 × 1e-30, whose square no float32 holds either; the 1e-6 beside it keeps the coefficient below 1
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0, 0] }, { gradNorm: true });
      subject.update({ w: [1e-30, 1e-30] });
      const { gradNorm = 0 } = await subject.wrapper.readMetrics();
      expectNumbers("clip: gradNorm × 1e30", [gradNorm * 1e30], [Math.SQRT2], kit.tolerance);
    },
  },
  {
    name: "clip: without errorIfNonfinite an infinite norm makes zeros, and NaN of infinity",
    run: (kit) => clipped(kit, { maxNorm: 1 }, [1, Infinity, -2], [0, Number.NaN, 0]),
  },
  {
    name: "clip: errorIfNonfinite refuses the step and keeps parameters",
    async run(kit) {
      const subject = kit.wrapped(
        descent(),
        { w: [1, 1] },
        { clipGrad: { maxNorm: 1, errorIfNonfinite: true } },
      );
      await expectRefusal("clip", "a step with an infinite norm", "non-finite-gradient", async () => {
        subject.update({ w: [1, Infinity] });
        await subject.wrapper.readMetrics();
      });
      await kit.expectParameters("clip", subject, { w: [1, 1] });
    },
  },
  ...norms
    .filter(([p]) => p === 1 || p === 2 || p === Infinity)
    .map(([p, norm]): KitTest => ({
      name: `clip: each tensor by its own ${p === Infinity ? "inf" : p}-norm; gradNorm is that of all`,
      needs: ["rules"],
      async run(kit) {
        const subject = kit.wrapped(
          descent(),
          { a: [0, 0], b: [0] },
          { clipGrad: { maxNorm: 2, normType: p, per: "tensor" } },
        );
        subject.update({ a: [3, -4], b: [-1] });
        await kit.expectParameters("clip", subject, { a: [-6 / norm, 8 / norm], b: [1] });
        const { gradNorm } = await subject.wrapper.readMetrics();
        const all = p === 1 ? 8 : p === 2 ? Math.sqrt(26) : 4;
        expectNumbers("clip: gradNorm, before clipping", [gradNorm ?? Number.NaN], [all], kit.tolerance);
      },
    })),
  {
    name: "clip: adaptively, by the norm of the weights, with a loss scale and over a window",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.wrapped(
        descent(),
        { w: [3, 4], small: [0], free: [100] },
        {
          clipGrad: { type: "adaptive", clipFactor: 0.1, eps: 0.5 },
          lossScale: 8,
          accumulativeCounts: 2,
        },
      );
      // Means of (6, 8), 1 and 2.
      subject.update({ w: [12, 0], small: [2], free: [4] });
      subject.update({ w: [0, 16], small: [0], free: [0] });
      // ‖w‖ = 5: to 0.1 · 5 of 10. Of 0 to 0.1 · 0.5. 2 is below 0.1 · 100.
      await kit.expectParameters("clip", subject, { w: [2.7, 3.6], small: [-0.05], free: [98] });
      const { gradNorm } = await subject.wrapper.readMetrics();
      const all = Math.sqrt(100 + 1 + 4);
      expectNumbers("clip: gradNorm, before clipping", [gradNorm ?? Number.NaN], [all], kit.tolerance);
    },
  },
  {
    name: "clip: the norm is that of the window's mean",
    async run(kit) {
      const subject = kit.wrapped(
        descent(),
        { w: [0, 0] },
        { accumulativeCounts: 2, clipGrad: { maxNorm: 1 } },
      );
      // Each alone has norm 6 and 8; their mean (3, 4) has 5.
      subject.update({ w: [6, 0] });
      subject.update({ w: [0, 8] });
      await kit.expectParameters("clip", subject, { w: [-0.6, -0.8] });
    },
  },
  {
    name: "clip: parameters without a gradient, and frozen ones, are not in the norm",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [0], b: [0], c: [0] }, { clipGrad: { maxNorm: 1 } });
      subject.wrapper.freeze(["c"]);
      subject.update({ a: [5], c: [100] });
      await kit.expectParameters("clip", subject, { a: [-1], b: [0], c: [0] });
    },
  },
  {
    name: "clip: the norm is measured without clipping when asked for, and only then",
    async run(kit) {
      const measured = kit.wrapped(descent(), { w: [0, 0] }, { gradNorm: true });
      measured.update({ w: [3, 4] });
      const { gradNorm = Number.NaN } = await measured.wrapper.readMetrics();
      expectNumbers("clip: gradNorm", [gradNorm], [5], kit.tolerance);
      await kit.expectParameters("clip", measured, { w: [-3, -4] });
      const plain = kit.wrapped(descent(), { w: [0] });
      plain.update({ w: [3] });
      expectEqual("clip", "gradNorm without asking", (await plain.wrapper.readMetrics()).gradNorm, undefined);
    },
  },
];

/** The gradient after clipping: one step of descent from 0 with a learning rate of 1 is its negative. */
async function clipped(
  kit: Kit,
  clipGrad: ClipGrad,
  gradient: readonly number[],
  expected: readonly number[],
): Promise<void> {
  const subject = kit.wrapped(descent(), { w: gradient.map(() => 0) }, { clipGrad });
  subject.update({ w: gradient });
  await kit.expectParameters("clip", subject, { w: expected.map((value) => -value) });
}
