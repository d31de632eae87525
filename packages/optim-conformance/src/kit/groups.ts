import { sgd } from "@mm/optim-rules";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const groupTests: readonly KitTest[] = [
  {
    name: "groups: each has its own hyperparameters",
    needs: ["groups"],
    async run(kit) {
      const subject = kit.subject(descent(), [
        { params: { a: [0] } },
        { name: "head", params: { b: [0], c: [0] }, lr: 0.5 },
      ]);
      subject.train({ a: [2], b: [2], c: [4] });
      await kit.expectParameters("groups", subject, { a: [-2], b: [-1], c: [-2] });
      const { paramGroups, parameters } = subject.optimizer;
      expectEqual(
        "groups",
        "names and parameters",
        paramGroups.map(({ name, params }) => [name, params]),
        [
          ["0", ["a"]],
          ["head", ["b", "c"]],
        ],
      );
      expectEqual(
        "groups",
        "groups of parameters",
        parameters.map(({ name, group }) => [name, group]),
        [
          ["a", "0"],
          ["b", "head"],
          ["c", "head"],
        ],
      );
    },
  },
  {
    name: "groups: a live learning rate is that of one group",
    needs: ["groups"],
    async run(kit) {
      const subject = kit.subject(descent(), [{ params: { a: [0] } }, { params: { b: [0] } }]);
      const [first] = subject.optimizer.paramGroups;
      first.lr = 0.25;
      subject.train({ a: [4], b: [4] });
      await kit.expectParameters("groups", subject, { a: [-1], b: [-4] });
    },
  },
  {
    name: "groups: base settings exist with several groups, and no parameter follows them",
    needs: ["groups"],
    async run(kit) {
      const single = kit.wrapped(descent(), { a: [0] });
      expectEqual("groups", "getLr of one group", single.wrapper.getLr(), { lr: [1] });
      const subject = kit.wrapped(descent(), [{ params: { a: [0] }, lr: 2 }, { params: { b: [0] } }]);
      expectEqual("groups", "getLr of two groups", subject.wrapper.getLr(), { baseLr: [1], lr: [2, 1] });
      (subject.wrapper.baseParamSettings as { lr: number }).lr = 100;
      subject.update({ a: [1], b: [1] });
      await kit.expectParameters("groups", subject, { a: [-2], b: [-1] });
      expectEqual("groups", "baseLr", subject.wrapper.getLr().baseLr, [100]);
    },
  },
  {
    name: "groups: one structure each",
    needs: ["groups", "rules"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1 }), [
        { params: { a: [0] } },
        { params: { b: [0] }, momentum: 0.5 },
      ]);
      subject.train({ a: [1], b: [1] });
      subject.train({ a: [1], b: [1] });
      // b: 1, then 0.5 × 1 + 1
      await kit.expectParameters("groups", subject, { a: [-2], b: [-2.5] });
    },
  },
  {
    name: "groups: one that is added later starts without state",
    needs: ["groups", "rules"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { a: [0] });
      subject.train({ a: [4] });
      const b = kit.parameter([0]);
      subject.optimizer.addParamGroup({ name: "late", params: { b }, lr: 0.5 });
      const loss = kit.factory.linearLoss([
        { name: "a", parameter: subject.parameters.get("a"), gradient: Float32Array.of(2) },
        { name: "b", parameter: b, gradient: Float32Array.of(2) },
      ]);
      subject.optimizer.backward(loss);
      subject.optimizer.step();
      // a: 0.5 × 4 + 2 = 4; b: 0.5 × 2
      await kit.expectParameters("groups", subject, { a: [-8], b: [-1] });
      await expectRefusal(
        "groups",
        "a group with a name that is there",
        ["duplicate-parameter", "invalid-name"],
        () => subject.optimizer.addParamGroup({ name: "late", params: { c: kit.parameter([0]) } }),
      );
      await expectRefusal("groups", "a parameter that is there", "duplicate-parameter", () =>
        subject.optimizer.addParamGroup({ params: { a: kit.parameter([0]) } }),
      );
      expectEqual("groups", "groups after two refusals", subject.optimizer.paramGroups.length, 2);
    },
  },
];
