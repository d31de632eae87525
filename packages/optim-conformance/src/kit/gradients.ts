import { adam } from "@mm/optim-rules";
import { expectEqual, expectNumbers, expectTensors } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

export const gradientTests: readonly KitTest[] = [
  {
    name: "gradients: a step goes against the gradient",
    async run(kit) {
      const subject = kit.subject(descent(0.5), { w: [1, 2], b: [3] });
      subject.train({ w: [2, -4], b: [1] });
      // 1 − 0.5 × 2, 2 + 0.5 × 4, 3 − 0.5 × 1
      await kit.expectParameters("gradients", subject, { w: [0, 4], b: [2.5] });
    },
  },
  {
    name: "gradients: parameters of every shape",
    async run(kit) {
      const next = repeatable(1);
      const shapes = [[], [0], [1], [5], [3, 2], [2, 1, 3], [257], [4099]].filter(
        (shape) => size(shape) <= kit.capabilities.maxParameterLength,
      );
      const initials = Object.fromEntries(
        shapes.map((shape, index) => [`p${index}`, { shape, values: noise(next, size(shape)) }]),
      );
      const gradients = Object.fromEntries(
        shapes.map((shape, index) => [`p${index}`, noise(next, size(shape))]),
      );
      const subject = kit.subject(descent(0.25), initials);
      subject.train(gradients);
      const expected: Record<string, Float32Array> = {};
      for (const [name, { values }] of Object.entries(initials)) {
        expected[name] = values.map((value, index) => value - 0.25 * (gradients[name]?.[index] as number));
      }
      await kit.expectParameters("gradients", subject, expected);
    },
  },
  {
    name: "gradients: the closure runs once per backward",
    run(kit) {
      const subject = kit.subject(descent(), { w: [1] });
      const loss = subject.loss({ w: [1] });
      let runs = 0;
      subject.optimizer.backward((pass) => {
        runs += 1;
        return loss(pass);
      });
      expectEqual("gradients", "runs of the closure", runs, 1);
    },
  },
  {
    name: "gradients: the caller's arrays are read, never written",
    async run(kit) {
      const subject = kit.subject(descent(), { a: [0, 0], b: [0, 0] });
      // One array for two parameters, as a host library's gradients of a + b.
      const shared = Float32Array.of(3, -4);
      const lossScaler = subject.optimizer.createLossScaler(8);
      kit.afterwards(() => lossScaler.dispose());
      const given = subject.loss({ a: shared, b: shared });
      for (let i = 0; i < 3; i += 1) subject.optimizer.backward(given, { scale: 0.5, lossScaler });
      subject.optimizer.step({ lossScaler, clipGrad: { maxNorm: 1000 } });
      expectNumbers("gradients: the caller's array", shared, [3, -4], "exact");
      // Three times half of it.
      await kit.expectParameters("gradients", subject, { a: [-4.5, 6], b: [-4.5, 6] });
    },
  },
  {
    name: "gradients: NaN, infinities and tiny ones arrive as they are",
    needs: ["transfer"],
    async run(kit) {
      const given = [Number.NaN, Infinity, -Infinity, 0, -0, 2 ** -100, -(2 ** -126), 2 ** 127];
      const subject = kit.subject(descent(), { w: given.map(() => 1) });
      subject.backward({ w: given });
      expectTensors("gradients", await subject.optimizer.readGradients(), { w: given }, "exact");
    },
  },
  {
    name: "gradients: what a non-finite one touches is its own element",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [1, 1, 1, 1], b: [1] });
      subject.train({ w: [Number.NaN, 1, Infinity, 0], b: [1] });
      await kit.expectParameters("gradients", subject, { w: [Number.NaN, 0, -Infinity, 1], b: [0] });
    },
  },
  {
    name: "gradients: gradients as small as float32 has still count",
    needs: ["rules"],
    async run(kit) {
      // m̂ = g, v̂ = g²: g² falls below float32, so ε alone is in the denominator: 0.1 × 1e-30 ÷ 1e-30
      const rule = adam({ lr: 0.1, eps: 1e-30, betas: [0, 0] });
      const subject = kit.subject(rule, { w: [1, 1] });
      subject.train({ w: [1e-30, -1e-30] });
      await kit.expectParameters("gradients", subject, { w: [0.9, 1.1] });
    },
  },
];

function size(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}
