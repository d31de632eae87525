import type { BaseHyperparameters } from "@mm/optim-core";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adamw, lamb, nadam, sgd } from "@mm/optim-rules";
import { expectEqual, expectRefusal, expectTensors } from "./assert.ts";
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
    name: "groups: rules of their own share one backward, one norm and one clip",
    needs: ["groups", "rules"],
    async run(kit) {
      const subject = kit.subject(descent(), [
        { params: { a: [0] } },
        { name: "own", params: { b: [0] }, rule: sgd({ lr: 0.5, momentum: 0.5 }) },
      ]);
      // The norm of (6, 8) is 10: both are halved.
      const clipGrad = { maxNorm: 5 };
      subject.train({ a: [6], b: [8] }, { clipGrad });
      await kit.expectParameters("groups", subject, { a: [-3], b: [-2] });
      subject.train({ a: [3], b: [4] }, { clipGrad });
      // b: 0.5 × (0.5 × 4 + 4)
      await kit.expectParameters("groups", subject, { a: [-6], b: [-5] });
    },
  },
  {
    name: "groups: rules that keep numbers, and that measure norms, beside one another and beside others",
    needs: ["groups", "rules"],
    async run(kit) {
      const rules = { a: nadam({ lr: 0.1 }), b: lamb({ lr: 0.1 }), c: sgd({ lr: 0.1, momentum: 0.9 }) };
      const initials = { a: [1, 2, 3], b: [3, 4], c: [-1], d: [5, 6] };
      const together = kit.subject(adamw({ lr: 0.1 }), [
        ...Object.entries(rules).map(([name, rule]) => ({
          params: { [name]: initials[name as keyof typeof rules] },
          rule,
        })),
        { params: { d: initials.d } },
      ]);
      const ruleNames = together.optimizer.parameters.map((parameter) => parameter.rule);
      expectEqual("groups", "rules of parameters", ruleNames, ["NAdam", "LAMB", "SGD", undefined]);
      const alone = Object.entries({ ...rules, d: adamw({ lr: 0.1 }) }).map(([name, rule]) =>
        kit.subject<BaseHyperparameters>(rule, { [name]: initials[name as keyof typeof initials] }),
      );
      for (const factor of [1, -0.5, 0.25]) {
        const gradients = Object.fromEntries(
          Object.entries(initials).map(([name, values]) => [name, values.map((value) => value * factor)]),
        );
        together.train(gradients);
        for (const subject of alone) {
          const [name] = subject.parameters.keys();
          subject.train({ [name as string]: gradients[name as string] ?? [] });
        }
      }
      const tensors = await Promise.all(alone.map((subject) => subject.read()));
      const expected = Object.fromEntries(tensors.flatMap((one) => Object.entries(one)));
      expectTensors("groups", await together.read(), expected, "exact");
    },
  },
  {
    name: "groups: a rule of its own is in the state, and another one there is refused",
    needs: ["groups", "rules", "portableState"],
    async run(kit) {
      const make = (rule: UpdateRule, initials: readonly [number, number]) =>
        kit.subject(adamw({ lr: 0.1 }), [
          { name: "own", params: { a: [initials[0]] }, rule },
          { name: "rest", params: { b: [initials[1]] } },
        ]);
      const source = make(nadam({ lr: 0.1 }), [1, 1]);
      source.train({ a: [1], b: [2] });
      const state = await source.optimizer.stateDict();
      const values = await source.read();
      const target = make(nadam({ lr: 0.5 }), [values["a"]?.[0] ?? 0, values["b"]?.[0] ?? 0]);
      target.optimizer.prepareLoad(state).commit();
      for (const subject of [source, target]) subject.train({ a: [3], b: [-1] });
      expectTensors("groups", await target.read(), await source.read(), "exact");
      const other = make(adamw({ lr: 0.1 }), [1, 1]);
      await expectRefusal("groups", "a state with another rule in a group", "state-mismatch", () =>
        other.optimizer.prepareLoad(state),
      );
    },
  },
  {
    name: "groups: one that is added later starts without state",
    needs: ["groups", "rules"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { a: [0] });
      subject.train({ a: [4] });
      subject.add({ name: "late", params: { b: kit.parameter([0]) }, lr: 0.5 });
      subject.backward({ a: [2], b: [2] });
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
