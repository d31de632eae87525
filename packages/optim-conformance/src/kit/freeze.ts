import { sgd } from "@mm/optim-rules";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const freezeTests: readonly KitTest[] = [
  {
    name: "freeze: a frozen parameter takes no step",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [0], b: [0] });
      subject.wrapper.freeze(["b"]);
      expectEqual("freeze", "frozen", subject.optimizer.frozen, ["b"]);
      subject.update({ a: [1], b: [1] });
      await kit.expectParameters("freeze", subject, { a: [-1], b: [0] });
      subject.wrapper.unfreeze(["b"]);
      expectEqual("freeze", "frozen after unfreeze", subject.optimizer.frozen, []);
      subject.update({ a: [1], b: [1] });
      await kit.expectParameters("freeze: after unfreeze", subject, { a: [-2], b: [-1] });
    },
  },
  {
    name: "freeze: a pending gradient is kept, and not applied",
    async run(kit) {
      const subject = kit.subject(descent(), { a: [0], b: [0] });
      subject.backward({ a: [1], b: [8] });
      subject.optimizer.freeze(["b"]);
      subject.backward({ a: [1], b: [100] });
      subject.optimizer.step();
      await kit.expectParameters("freeze", subject, { a: [-2], b: [0] });
      subject.optimizer.unfreeze(["b"]);
      subject.optimizer.step();
      await kit.expectParameters("freeze: after unfreeze", subject, { a: [-4], b: [-8] });
    },
  },
  {
    name: "freeze: everything frozen is no error",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [1] });
      subject.wrapper.freeze(["a"]);
      subject.update({ a: [1] });
      await kit.expectParameters("freeze", subject, { a: [1] });
    },
  },
  {
    name: "freeze: state stays, too",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { a: [0] });
      subject.train({ a: [4] });
      subject.optimizer.freeze(["a"]);
      subject.train({ a: [4] });
      subject.optimizer.unfreeze(["a"]);
      subject.train({ a: [0] });
      // 4, nothing, 0.5 × 4
      await kit.expectParameters("freeze", subject, { a: [-6] });
    },
  },
  {
    name: "freeze: an unknown name is refused",
    async run(kit) {
      const subject = kit.subject(descent(), { a: [0] });
      await expectRefusal("freeze", "an unknown name", "unknown-parameter", () =>
        subject.optimizer.freeze(["z"]),
      );
      await expectRefusal("freeze", "a known and an unknown name", "unknown-parameter", () =>
        subject.optimizer.freeze(["a", "z"]),
      );
      expectEqual("freeze", "frozen", subject.optimizer.frozen, []);
    },
  },
];
