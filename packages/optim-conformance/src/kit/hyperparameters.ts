import { adam, adamw, sgd } from "@mm/optim-rules";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

export const hyperparameterTests: readonly KitTest[] = [
  {
    name: "live hyperparameters: a learning rate counts from the next step",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] });
      subject.update({ w: [1] });
      subject.wrapper.paramGroups[0].lr = 0.5;
      subject.update({ w: [1] });
      subject.wrapper.paramGroups[0].lr = 0;
      subject.update({ w: [1] });
      await kit.expectParameters("hyperparameters", subject, { w: [-1.5] });
      expectEqual("hyperparameters", "getLr", subject.wrapper.getLr().lr, [0]);
    },
  },
  {
    name: "live hyperparameters: one that is assigned in mid-window counts for its step",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      subject.update({ w: [1] });
      subject.wrapper.paramGroups[0].lr = 4;
      subject.update({ w: [1] });
      await kit.expectParameters("hyperparameters", subject, { w: [-4] });
    },
  },
  {
    name: "live hyperparameters: one that is refused throws, and the old one stays",
    async run(kit) {
      const subject = kit.subject(descent(0.5), { w: [0] });
      const [group] = subject.optimizer.paramGroups;
      // Below 0 a rule of ours refuses; what a wrapped optimizer thinks of it is its own affair.
      const below = kit.capabilities.rules ? [-1] : [];
      for (const lr of [...below, Number.NaN, Infinity, "fast" as unknown as number]) {
        await expectRefusal("hyperparameters", `lr = ${lr}`, "invalid-hyperparameter", () => {
          group.lr = lr;
        });
      }
      expectEqual("hyperparameters", "lr", group.lr, 0.5);
      subject.train({ w: [2] });
      await kit.expectParameters("hyperparameters", subject, { w: [-1] });
    },
  },
  {
    name: "live hyperparameters: every number of a rule",
    needs: ["rules", "liveHyperparameters"],
    async run(kit) {
      const rule = adam({ lr: 0.1 });
      const initials = { w: [1, -2, 3] };
      const subject = kit.subject(rule, initials);
      const reference = kit.reference(subject, rule, initials);
      const changes = [
        { betas: [0.5, 0.7] },
        { eps: 0.1 },
        { weightDecay: 0.3 },
        { lr: 0.01, weightDecay: 0 },
      ] as const;
      for (const [step, change] of changes.entries()) {
        for (const one of [subject, reference]) {
          one.train({ w: [0.5, -0.25, step] });
          Object.assign(one.optimizer.paramGroups[0], change);
          one.train({ w: [0.1, 1, -step] });
        }
        await kit.expectReference(`hyperparameters: ${Object.keys(change).join(", ")}`, subject, reference);
      }
    },
  },
  {
    name: "live hyperparameters: momentum that is switched on makes its slot, and off keeps it",
    needs: ["rules", "liveHyperparameters"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, dampening: 0.5 }), { w: [0] });
      const [group] = subject.optimizer.paramGroups;
      subject.train({ w: [1] });
      group.momentum = 0.5;
      subject.train({ w: [4] });
      // The first gradient that momentum sees is taken whole.
      await kit.expectParameters("hyperparameters: on", subject, { w: [-5] });
      subject.train({ w: [4] });
      // 0.5 × 4 + 0.5 × 4
      await kit.expectParameters("hyperparameters: the second", subject, { w: [-9] });
      group.momentum = 0;
      subject.train({ w: [1] });
      await kit.expectParameters("hyperparameters: off", subject, { w: [-10] });
      group.momentum = 0.5;
      subject.train({ w: [4] });
      await kit.expectParameters("hyperparameters: on again", subject, { w: [-14] });
    },
  },
  {
    name: "live hyperparameters: amsgrad that is switched on makes its slot",
    needs: ["rules", "liveHyperparameters"],
    async run(kit) {
      const rule = adamw({ lr: 0.1 });
      const subject = kit.subject(rule, { w: [1, 2] });
      const reference = kit.reference(subject, rule, { w: [1, 2] });
      for (const one of [subject, reference]) {
        one.train({ w: [4, -4] });
        one.optimizer.paramGroups[0].amsgrad = true;
        for (let step = 0; step < 3; step += 1) one.train({ w: [0.1, 0.2] });
      }
      await kit.expectReference("hyperparameters", subject, reference);
    },
  },
  {
    name: "live hyperparameters: those that are fixed say so",
    async run(kit) {
      if (kit.capabilities.liveHyperparameters) return;
      const [group] = kit.subject(descent(), { w: [0] }).optimizer.paramGroups;
      for (const name of Object.keys(group).filter((key) => !["name", "params", "lr"].includes(key))) {
        await expectRefusal("hyperparameters", name, ["unsupported", "invalid-hyperparameter"], () =>
          Object.assign(group, { [name]: 0.5 }),
        );
      }
    },
  },
];
