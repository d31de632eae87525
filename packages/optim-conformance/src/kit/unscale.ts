import { descent, type KitTest } from "./kit.ts";

export const unscaleTests: readonly KitTest[] = [
  {
    name: "unscale: rescale multiplies the gradients",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0, 0] });
      subject.train({ w: [6, -2] }, { rescale: 0.5 });
      await kit.expectParameters("unscale", subject, { w: [-3, 1] });
    },
  },
  {
    name: "unscale: a loss scale leaves no trace",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1, 2] }, { lossScale: 1024 });
      subject.update({ w: [0.5, -0.25] });
      await kit.expectParameters("unscale", subject, { w: [0.5, 2.25] });
    },
  },
  {
    name: "unscale: comes before clipping by norm",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0, 0] }, { lossScale: 1024, clipGrad: { maxNorm: 1 } });
      // Norm 0.5: nothing to clip. Times 1024 it would be.
      subject.update({ w: [0.3, -0.4] });
      await kit.expectParameters("unscale", subject, { w: [-0.3, 0.4] });
    },
  },
  {
    name: "unscale: comes before clipping by value",
    async run(kit) {
      const options = { lossScale: 1024, clipGrad: { type: "value", clipValue: 0.5 } } as const;
      const subject = kit.wrapped(descent(), { w: [0, 0] }, options);
      subject.update({ w: [0.25, -2] });
      await kit.expectParameters("unscale", subject, { w: [-0.25, 0.5] });
    },
  },
  {
    name: "unscale: rescale too comes before clipping",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0, 0] });
      // Norm 5 × 0.125 = 0.625, below 1
      subject.train({ w: [3, 4] }, { rescale: 0.125, clipGrad: { maxNorm: 1 } });
      await kit.expectParameters("unscale", subject, { w: [-0.375, -0.5] });
    },
  },
  {
    name: "unscale: by the scale that the window began with",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0] });
      const lossScaler = subject.optimizer.createLossScaler("dynamic");
      kit.afterwards(() => lossScaler.dispose());
      subject.backward({ w: [1] }, { lossScaler });
      lossScaler.update(4);
      subject.backward({ w: [1] }, { lossScaler });
      subject.optimizer.step({ lossScaler });
      await kit.expectParameters("unscale", subject, { w: [-2] });
    },
  },
];
