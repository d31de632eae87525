import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const sharedScalerTests: readonly KitTest[] = [
  {
    name: "shared loss scaler: an overflow of one backs off once, and the other steps",
    async run(kit) {
      const maker = kit.subject(descent(), { unused: [0] });
      const lossScale = maker.optimizer.createLossScaler({ initScale: 16, growthInterval: 1 });
      const first = kit.wrapped(descent(), { a: [0] }, { lossScale });
      const second = kit.wrapped(descent(), { b: [0] }, { lossScale });
      first.update({ a: [Infinity] });
      second.update({ b: [1] });
      expectEqual("shared scaler", "scale before update()", await lossScale.readScale(), 16);
      lossScale.update();
      expectEqual("shared scaler", "scale after update()", await lossScale.readScale(), 8);
      await kit.expectParameters("check", first, { a: [0] });
      await kit.expectParameters("check", second, { b: [-1] });
      first.update({ a: [1] });
      second.update({ b: [1] });
      lossScale.update();
      expectEqual("shared scaler", "scale after a clean iteration", await lossScale.readScale(), 16);
      // Nothing stepped since.
      lossScale.update();
      expectEqual("shared scaler", "scale after an idle update()", await lossScale.readScale(), 16);
      first.wrapper.dispose();
      expectEqual("shared scaler", "scale after one wrapper's end", await lossScale.readScale(), 16);
      second.update({ b: [1] });
      await kit.expectParameters("check: afterwards", second, { b: [-3] });
      lossScale.dispose();
    },
  },
  {
    name: "shared loss scaler: is saved with every wrapper, and loaded",
    async run(kit) {
      const maker = kit.subject(descent(), { unused: [0] });
      const lossScale = maker.optimizer.createLossScaler({ initScale: 16, growthInterval: 3 });
      const subject = kit.wrapped(descent(), { w: [0] }, { lossScale });
      subject.update({ w: [1] });
      lossScale.update();
      const state = await subject.wrapper.stateDict();
      expectEqual("shared scaler", "growthTracker", state.lossScaler?.growthTracker, 1);
      lossScale.update(4);
      await subject.wrapper.loadStateDict(state);
      expectEqual("shared scaler", "scale", await lossScale.readScale(), 16);
      lossScale.dispose();
    },
  },
  {
    name: "shared loss scaler: update(scale) sets it, and refuses what is no scale",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0] });
      const lossScaler = subject.optimizer.createLossScaler("dynamic");
      lossScaler.update(3);
      expectEqual("shared scaler", "scale", await lossScaler.readScale(), 3);
      for (const scale of [0, -1, Number.NaN, Infinity]) {
        await expectRefusal("shared scaler", `update(${scale})`, "invalid-option", () =>
          lossScaler.update(scale),
        );
      }
      expectEqual("shared scaler", "scale", await lossScaler.readScale(), 3);
      lossScaler.dispose();
    },
  },
  {
    name: "shared loss scaler: another backend's is refused",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0] });
      const own = subject.optimizer.createLossScaler("dynamic");
      const foreign = { ...own, kind: "loss-scaler", backend: `not ${own.backend}` } as typeof own;
      await expectRefusal("shared scaler", "another backend's", "invalid-option", () =>
        kit.wrapped(descent(), { v: [0] }, { lossScale: foreign }),
      );
      own.dispose();
    },
  },
];
