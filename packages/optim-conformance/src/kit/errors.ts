import {
  createOptimWrapper,
  type OptimErrorCode,
  type Optimizer,
  type ParametersInput,
} from "@mm/optim-core";
import { defineUpdateRule, type UpdateRule } from "@mm/optim-core/rule";
import { adam } from "@mm/optim-rules";
import type { LossClosure } from "../factory.ts";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type Kit, type KitTest } from "./kit.ts";

export const errorTests: readonly KitTest[] = [
  {
    name: "errors: parameters that are none, or twice there",
    async run(kit) {
      const [a, b] = [kit.parameter([1]), kit.parameter([2])];
      const refuses = constructionRefuses(kit);
      await refuses("no parameters", "empty-parameters", {});
      await refuses("no parameter in its group", "empty-parameters", [{ params: {} }]);
      await refuses("one parameter under two names", "duplicate-parameter", { a, again: a });
      for (const wrong of [null, undefined, 1, "w", {}]) {
        await refuses(`the parameter ${JSON.stringify(wrong)}`, "invalid-parameter", { a, wrong });
      }
      await refuses("an empty name", "invalid-name", { "": a });
      if (!kit.capabilities.groups) return;
      await refuses("no group", "empty-parameters", []);
      await refuses("one name in two groups", "duplicate-parameter", [
        { params: { a } },
        { params: { a: b } },
      ]);
      await refuses("one parameter in two groups", "duplicate-parameter", [
        { params: { a } },
        { params: { b: a } },
      ]);
    },
  },
  {
    name: "errors: hyperparameters that the rule lacks or refuses",
    needs: ["rules"],
    async run(kit) {
      const a = kit.parameter([1]);
      const refuses = constructionRefuses(kit);
      const group = (options: object): ParametersInput<unknown, { lr: number }> => [
        { params: { a }, ...options },
      ];
      await refuses("a misspelled hyperparameter", "unknown-option", group({ learningRate: 1 }));
      await refuses("a hyperparameter of another rule", "unknown-option", group({ alpha: 1 }));
      for (const lr of [-1, Number.NaN, Infinity, "1", null]) {
        await refuses(`lr: ${String(lr)}`, "invalid-hyperparameter", group({ lr }));
      }
      for (const betas of [0.9, [0.9], [0.9, 1], [0.9, -1], [0.9, "0.9"]]) {
        await refuses(`betas: ${JSON.stringify(betas)}`, "invalid-hyperparameter", group({ betas }), adam());
      }
    },
  },
  {
    name: "errors: a rule that is none",
    needs: ["rules"],
    async run(kit) {
      const refuses = constructionRefuses(kit);
      const a = kit.parameter([1]);
      const wrong = { null: null, "an object": {}, "a name": "adam", "a factory": adam };
      for (const [what, rule] of Object.entries(wrong)) {
        await refuses(`${what} as a rule`, "invalid-rule", { a }, rule as unknown as UpdateRule);
      }
      const lost = defineUpdateRule({
        name: "Lost",
        hyperparameters: { lr: 1 },
        slots: () => ({ buffer: 0 }),
        update: ({ param }) => ({ param }),
      });
      await expectRefusal("errors", "a rule that returns no slot", "invalid-rule", () => {
        kit.factory.createOptimizer(lost(), { a });
      });
    },
  },
  {
    name: "errors: a loss that is none",
    async run(kit) {
      const { optimizer } = kit.subject(descent(), { w: [1] });
      const wrong: Readonly<Record<string, unknown>> = {
        null: null,
        nothing: undefined,
        "a number": 1,
        "an object": {},
        "a closure of a string": () => "1",
        "a closure of nothing": () => null,
        "an asynchronous closure": () => Promise.resolve(1),
      };
      for (const [what, loss] of Object.entries(wrong)) {
        await expectRefusal("errors", `${what} as a loss`, "invalid-loss", () =>
          optimizer.backward(loss as LossClosure),
        );
      }
    },
  },
  {
    name: "errors: options of a wrapper are refused when it is made",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [1] });
      const wrong: readonly (readonly [OptimErrorCode, object])[] = [
        ["invalid-option", { accumulativeCounts: 0 }],
        ["invalid-option", { accumulativeCounts: 1.5 }],
        ["invalid-option", { clipGrad: {} }],
        ["invalid-option", { clipGrad: { maxNorm: -1 } }],
        ["invalid-option", { clipGrad: { maxNorm: 1, normType: 0 } }],
        ["invalid-option", { clipGrad: { type: "value" } }],
        ["invalid-option", { clipGrad: { type: "both", maxNorm: 1 } }],
        ["unknown-option", { clipGrad: { maxNorm: 1, normtype: 2 } }],
        ["invalid-option", { lossScale: 0 }],
        ["invalid-option", { lossScale: "fast" }],
        ["invalid-option", { lossScale: { growthFactor: 1 } }],
        ["invalid-option", { lossScale: { backoffFactor: 1 } }],
        ["unknown-option", { lossScale: { initialScale: 2 } }],
        ["invalid-option", { onNonFinite: "ignore" }],
        ["invalid-option", { lossScale: 2, onNonFinite: "skip" }],
        ["unknown-option", { accumulativeCount: 2 }],
      ];
      for (const [code, options] of wrong) {
        await expectRefusal("errors", JSON.stringify(options), code, () =>
          createOptimWrapper(subject.optimizer, options),
        );
      }
    },
  },
  {
    name: "errors: a closure may not change its own optimizer",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      const { wrapper, optimizer } = subject;
      const loss = subject.loss({ w: [2] });
      const calls: Readonly<Record<string, () => unknown>> = {
        "optimizer.backward": () => optimizer.backward(loss),
        "optimizer.step": () => optimizer.step(),
        "optimizer.zeroGrad": () => optimizer.zeroGrad(),
        "optimizer.dispose": () => optimizer.dispose(),
        ...(optimizer.readGradientsSync && {
          "optimizer.readGradientsSync": () => optimizer.readGradientsSync?.(),
        }),
        "wrapper.updateParams": () => wrapper.updateParams(loss),
        "wrapper.step": () => wrapper.step(),
        "wrapper.flush": () => wrapper.flush(),
        "wrapper.zeroGrad": () => wrapper.zeroGrad(),
        "wrapper.dispose": () => wrapper.dispose(),
        "wrapper.initializeCountStatus": () => wrapper.initializeCountStatus({}),
      };
      for (const [name, call] of Object.entries(calls)) {
        await expectRefusal("errors", name, "reentrant", () =>
          wrapper.updateParams((pass) => {
            call();
            return loss(pass);
          }),
        );
      }
      // A call that only looks is fine.
      wrapper.updateParams((pass) => {
        expectEqual("errors", "seen from the closure", [wrapper.innerCount, wrapper.getLr().lr], [0, [1]]);
        return loss(pass);
      });
      subject.update({ w: [4] });
      await kit.expectParameters("errors", subject, { w: [-3] });
    },
  },
  {
    name: "errors: counts that cannot be",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      const { wrapper } = subject;
      for (const status of [{ initCounts: -1 }, { maxCounts: 1.5 }, { initCounts: 3, maxCounts: 2 }]) {
        await expectRefusal("errors", JSON.stringify(status), "invalid-option", () =>
          wrapper.initializeCountStatus(status),
        );
      }
      wrapper.initializeCountStatus({ maxCounts: 3 });
      subject.update({ w: [1] });
      await expectRefusal("errors", "initializeCountStatus in mid-window", "window-open", () =>
        wrapper.initializeCountStatus({ maxCounts: 5 }),
      );
      subject.update({ w: [1] });
      subject.update({ w: [1] });
      await expectRefusal("errors", "a backward past maxCounts", "count-exceeded", () =>
        subject.update({ w: [100] }),
      );
      await expectRefusal("errors", "lossFactor past maxCounts", "count-exceeded", () =>
        wrapper.lossFactor(),
      );
      expectEqual("errors", "innerCount", wrapper.innerCount, 3);
      await kit.expectParameters("errors", subject, { w: [-2] });
    },
  },
  {
    name: "errors: an asynchronous context",
    async run(kit) {
      const { wrapper } = kit.wrapped(descent(), { w: [0] });
      expectEqual(
        "errors",
        "the value of a context",
        wrapper.optimContext(() => 7),
        7,
      );
      const asynchronous = (): never => Promise.resolve(1) as never;
      await expectRefusal("errors", "a promise", "invalid-option", () => wrapper.optimContext(asynchronous));
    },
  },
];

function constructionRefuses(kit: Kit) {
  return (
    what: string,
    code: OptimErrorCode,
    parameters: unknown,
    rule: UpdateRule = descent(),
  ): Promise<void> =>
    expectRefusal("errors", what, code, () => {
      const made: Optimizer<LossClosure, unknown> = kit.factory.createOptimizer(
        rule,
        parameters as ParametersInput<unknown, { lr: number }>,
      );
      kit.afterwards(() => made.dispose());
    });
}
