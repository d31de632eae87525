import type { LoadOptions, OptimizerStateDict } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { expectEqual, expectNumbers, expectRefusal, expectTensors } from "./assert.ts";
import { descent, type Gradients, type KitTest, type Subject } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

const momentum = sgd({ lr: 1, momentum: 0.5 });

export const stateTests: readonly KitTest[] = [
  {
    name: "state: training resumes from a window in progress, to the bit",
    async run(kit) {
      const options = { accumulativeCounts: 3, lossScale: { initScale: 8, growthInterval: 1 } } as const;
      const next = repeatable(5);
      const initials = { w: noise(next, 5), b: noise(next, 2) };
      const batches = Array.from({ length: 8 }, (): Gradients => ({ w: noise(next, 5), b: noise(next, 2) }));
      const straight = kit.wrapped(descent(0.1), initials, options);
      straight.wrapper.initializeCountStatus({ maxCounts: 8 });
      for (const batch of batches.slice(0, 4)) straight.update(batch);
      const state = await straight.wrapper.stateDict();
      const resumed = kit.wrapped(descent(0.7), await straight.read(), options);
      await resumed.wrapper.loadStateDict(state);
      for (const batch of batches.slice(4)) {
        straight.update(batch);
        resumed.update(batch);
      }
      expectTensors("state", await resumed.read(), await straight.read(), "exact");
      expectEqual("state", "innerCount", resumed.wrapper.innerCount, 8);
      const scales = [resumed, straight].map(async ({ wrapper }) => (await wrapper.readMetrics()).lossScale);
      expectEqual("state", "loss scales", await Promise.all(scales), [64, 64]);
    },
  },
  {
    name: "state: moments and step counts resume to the bit",
    needs: ["rules"],
    async run(kit) {
      const next = repeatable(6);
      const initials = { w: noise(next, 5), b: noise(next, 2) };
      const rule = adam({ lr: 0.1, amsgrad: true });
      const straight = kit.subject(rule, initials);
      for (let step = 0; step < 3; step += 1) straight.train({ w: noise(next, 5), b: noise(next, 2) });
      const resumed = kit.subject(adam({ lr: 0.5 }), await straight.read());
      await load(resumed, await straight.optimizer.stateDict());
      for (let step = 0; step < 3; step += 1) {
        const gradients = { w: noise(next, 5), b: noise(next, 2) };
        straight.train(gradients);
        resumed.train(gradients);
      }
      expectTensors("state", await resumed.read(), await straight.read(), "exact");
    },
  },
  {
    name: "state: is what it was at the call, whatever is trained before it arrives",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      subject.update({ w: [1] });
      const arriving = subject.wrapper.stateDict();
      subject.update({ w: [3] });
      subject.wrapper.paramGroups[0].lr = 9;
      subject.update({ w: [5] });
      const { counts, optimizer } = await arriving;
      expectEqual("state", "innerCount", counts.innerCount, 1);
      expectEqual("state", "steps", optimizer.steps, 0);
      expectEqual("state", "lr", optimizer.groups[0]?.hyperparameters["lr"], 1);
      expectNumbers("state: pending gradient", optimizer.params[0]?.gradient ?? [], [0.5], "exact");
    },
  },
  {
    name: "state: is plain data of its own",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0, 0] }, { accumulativeCounts: 2, lossScale: 4 });
      subject.update({ w: [1, 2] });
      const state = await subject.wrapper.stateDict();
      expectPlain("state", state);
      const before = structuredCloneOf(state);
      for (const { gradient, slots } of state.optimizer.params) {
        gradient?.fill(77);
        for (const slot of Object.values(slots)) slot.fill(77);
      }
      expectEqual("state", "a second snapshot", structuredCloneOf(await subject.wrapper.stateDict()), before);
    },
  },
  {
    name: "state: what is loaded is neither changed nor kept",
    async run(kit) {
      const options = { accumulativeCounts: 2 };
      const source = kit.wrapped(descent(), { w: [0, 0] }, options);
      source.update({ w: [2, 4] });
      const state = await source.wrapper.stateDict();
      const before = structuredCloneOf(state);
      const subject = kit.wrapped(descent(), { w: [0, 0] }, options);
      await subject.wrapper.loadStateDict(state);
      expectEqual("state", "the argument", structuredCloneOf(state), before);
      state.optimizer.params[0]?.gradient?.fill(77);
      subject.update({ w: [2, 4] });
      await kit.expectParameters("state", subject, { w: [-2, -4] });
    },
  },
  {
    name: "state: is matched by name, not by position",
    needs: ["rules"],
    async run(kit) {
      const source = kit.subject(momentum, { a: [0, 0], b: [0, 0] });
      source.train({ a: [4, 4], b: [-8, -8] });
      const state = await source.optimizer.stateDict();
      const swapped = kit.subject(momentum, { b: [0, 0], a: [0, 0] });
      const straight = kit.subject(momentum, { a: [0, 0], b: [0, 0] });
      await load(swapped, state);
      await load(straight, { ...state, params: [...state.params].reverse() });
      for (const subject of [swapped, straight]) {
        subject.train({ a: [0, 0], b: [0, 0] });
        // Half of the momentum of the first step.
        await kit.expectParameters("state", subject, { a: [-2, -2], b: [4, 4] });
      }
    },
  },
  {
    name: "state: a saved name may have another one here",
    needs: ["rules"],
    async run(kit) {
      const source = kit.subject(momentum, { "model/w": [0] });
      source.train({ "model/w": [4] });
      const subject = kit.subject(momentum, { "model_1/w": [0] });
      await load(subject, await source.optimizer.stateDict(), {
        rename: (saved) => saved.replace("model/", "model_1/"),
      });
      subject.train({ "model_1/w": [0] });
      await kit.expectParameters("state", subject, { "model_1/w": [-2] });
    },
  },
  {
    name: "state: goes to the reference backend and comes back",
    needs: ["rules", "portableState", "transfer"],
    async run(kit) {
      const next = repeatable(9);
      const initials = { w: noise(next, 5), b: noise(next, 2) };
      const rule = adam({ lr: 0.1 });
      const subject = kit.subject(rule, initials);
      const reference = kit.reference(subject, rule, initials);
      for (const [from, to] of [
        [subject, reference],
        [reference, subject],
      ] as const) {
        const gradients = { w: noise(next, 5), b: noise(next, 2) };
        from.train(gradients);
        from.backward(gradients);
        await load(to, await from.optimizer.stateDict());
        to.optimizer.writeParameters(await from.read());
        for (const one of [from, to]) {
          one.optimizer.step();
          one.optimizer.zeroGrad();
          one.train(gradients);
        }
        await kit.expectReference("state", subject, reference);
      }
      kit.expectState("state", await subject.optimizer.stateDict(), await reference.optimizer.stateDict());
    },
  },
  {
    name: "state: hyperparameters come with it, unless they are not restored",
    async run(kit) {
      const source = kit.wrapped(descent(0.5), { w: [0] });
      source.update({ w: [1] });
      const state = await source.wrapper.stateDict();
      const subject = kit.wrapped(descent(2), { w: [0] });
      await subject.wrapper.loadStateDict(state, { restore: { hyperparameters: false } });
      expectEqual("state", "lr that was not restored", subject.wrapper.getLr().lr, [2]);
      await subject.wrapper.loadStateDict(state);
      expectEqual("state", "lr", subject.wrapper.getLr().lr, [0.5]);
    },
  },
  {
    name: "state: counts, loss scale and the window in progress come with it, unless they are not restored",
    async run(kit) {
      const options = { accumulativeCounts: 2, lossScale: { initScale: 8 } } as const;
      const source = kit.wrapped(descent(), { w: [0] }, options);
      for (const gradient of [Infinity, 1, 6]) source.update({ w: [gradient] });
      const state = await source.wrapper.stateDict();
      const counts = kit.wrapped(descent(), { w: [0] }, options);
      await counts.wrapper.loadStateDict(state, { restore: { counts: false } });
      expectEqual("state", "innerCount", counts.wrapper.innerCount, 0);
      const pending = kit.wrapped(descent(), { w: [0] }, options);
      await pending.wrapper.loadStateDict(state, { restore: { pending: false } });
      expectEqual(
        "state",
        "innerCount and updated",
        [pending.wrapper.innerCount, pending.update({ w: [4] })],
        [3, true],
      );
      // The window is short now: 4 ÷ 1.
      await kit.expectParameters("state: without the gradients", pending, { w: [-4] });
      const scale = kit.wrapped(descent(), { w: [0] }, options);
      await scale.wrapper.loadStateDict(state, { restore: { lossScaler: false } });
      expectEqual("state", "scale that was not restored", (await scale.wrapper.readMetrics()).lossScale, 8);
      const whole = kit.wrapped(descent(), { w: [0] }, options);
      await whole.wrapper.loadStateDict(state);
      whole.update({ w: [4] });
      await kit.expectParameters("state", whole, { w: [-5] });
      const { lossScale, steps, skipped } = await whole.wrapper.readMetrics();
      expectEqual("state", "scale, steps, skipped", [lossScale, steps, skipped], [4, 1, 1]);
    },
  },
  {
    name: "state: without pending gradients when they are not wanted",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 2 });
      subject.update({ w: [1] });
      const { optimizer } = await subject.wrapper.stateDict({ pending: false });
      expectEqual(
        "state",
        "gradients",
        optimizer.params.map(({ gradient }) => gradient),
        [undefined],
      );
    },
  },
  {
    name: "state: a part of it loads when that is wanted, with a report",
    needs: ["rules"],
    async run(kit) {
      const source = kit.subject(momentum, { a: [0], gone: [0], reshaped: [0, 0] });
      source.train({ a: [4], gone: [4], reshaped: [4, 4] });
      const state = await source.optimizer.stateDict();
      const subject = kit.subject(momentum, { a: [0], added: [0], reshaped: [0, 0, 0] });
      await expectRefusal("state", "a strict load", "state-mismatch", () =>
        subject.optimizer.prepareLoad(state),
      );
      const { missing, unexpected } = subject.optimizer.prepareLoad(state, { strict: false }).commit();
      expectEqual("state", "missing", [...missing], ["added"]);
      // The difference is named first, and its reason after a colon.
      const names = unexpected.map((name) => name.replace(/:.*/, ""));
      expectEqual("state", "unexpected", names.sort(), ["gone", "reshaped"]);
      subject.train({ a: [0], added: [0], reshaped: [0, 0, 0] });
      await kit.expectParameters("state", subject, { a: [-2], added: [0], reshaped: [0, 0, 0] });
    },
  },
  {
    name: "state: a load that is refused changes nothing",
    async run(kit) {
      const source = kit.subject(descent(0.25), { a: [0], b: [0, 0] });
      source.backward({ a: [8], b: [8, 8] });
      const state = await source.optimizer.stateDict();
      const subject = kit.subject(descent(), { a: [0], b: [0, 0, 0] });
      subject.backward({ a: [1], b: [1, 1, 1] });
      // `a` and the group fit, `b` does not.
      await expectRefusal("state", "a state with one wrong shape", "state-mismatch", () =>
        load(subject, state),
      );
      expectEqual("state", "lr", subject.optimizer.paramGroups[0].lr, 1);
      subject.optimizer.step();
      await kit.expectParameters("state", subject, { a: [-1], b: [-1, -1, -1] });
    },
  },
  {
    name: "state: a load that is refused keeps moments",
    needs: ["rules"],
    async run(kit) {
      const source = kit.subject(momentum, { a: [0], b: [0, 0] });
      source.train({ a: [100], b: [100, 100] });
      const subject = kit.subject(momentum, { a: [0], b: [0, 0, 0] });
      subject.train({ a: [4], b: [4, 4, 4] });
      await expectRefusal("state", "a state with one wrong shape", "state-mismatch", async () =>
        load(subject, await source.optimizer.stateDict()),
      );
      subject.train({ a: [0], b: [0, 0, 0] });
      await kit.expectParameters("state", subject, { a: [-6], b: [-6, -6, -6] });
    },
  },
  {
    name: "state: another rule's is refused",
    needs: ["rules"],
    async run(kit) {
      const state = await kit.subject(adam(), { w: [0] }).optimizer.stateDict();
      const subject = kit.subject(momentum, { w: [0] });
      await expectRefusal("state", "the state of Adam", "state-mismatch", () =>
        subject.optimizer.prepareLoad(state),
      );
    },
  },
  {
    name: "state: what is no state, or damaged, is refused and changes nothing",
    async run(kit) {
      const source = kit.subject(descent(0.25), { a: [0, 0], b: [0] });
      source.train({ a: [1, 1], b: [1] });
      source.backward({ a: [8, 8], b: [8] });
      const state = await source.optimizer.stateDict();
      const subject = kit.subject(descent(), { a: [0, 0], b: [0] });
      subject.backward({ a: [1, 1], b: [1] });
      for (const [what, damaged] of damages(state)) {
        await expectRefusal("state", what, ["invalid-state", "state-mismatch"], () =>
          load(subject, damaged as OptimizerStateDict),
        );
      }
      expectEqual("state", "lr", subject.optimizer.paramGroups[0].lr, 1);
      subject.optimizer.step();
      await kit.expectParameters("state", subject, { a: [-1, -1], b: [-1] });
      const wrapped = kit.wrapped(descent(), { w: [0] });
      const whole = await wrapped.wrapper.stateDict();
      for (const damaged of [
        null,
        {},
        { ...whole, version: 2 },
        { ...whole, counts: { ...whole.counts, innerCount: -1 } },
      ]) {
        await expectRefusal(
          "state",
          `a wrapper's ${Object.keys(damaged ?? {}).join()}`,
          "invalid-state",
          () => wrapped.wrapper.loadStateDict(damaged as typeof whole),
        );
      }
    },
  },
  {
    name: "state: names are only names",
    async run(kit) {
      const names = ["__proto__", "constructor", "a.b", "0", "with space", "ü"];
      const initials = Object.fromEntries(names.map((name) => [name, [0]]));
      const source = kit.wrapped(descent(), initials, { accumulativeCounts: 2 });
      source.update(Object.fromEntries(names.map((name) => [name, [2]])));
      const subject = kit.wrapped(descent(), initials, { accumulativeCounts: 2 });
      await subject.wrapper.loadStateDict(await source.wrapper.stateDict());
      subject.update(Object.fromEntries(names.map((name) => [name, [2]])));
      await kit.expectParameters("state", subject, Object.fromEntries(names.map((name) => [name, [-2]])));
    },
  },
  {
    name: "state: a load in two halves",
    async run(kit) {
      const source = kit.subject(descent(0.25), { w: [0] });
      const state = await source.optimizer.stateDict();
      const { optimizer, ...subject } = kit.subject(descent(), { w: [0] });
      const prepared = optimizer.prepareLoad(state);
      expectEqual("state", "lr that is staged", optimizer.paramGroups[0].lr, 1);
      await expectRefusal("state", "a second load meanwhile", "load-pending", () =>
        optimizer.prepareLoad(state),
      );
      optimizer.paramGroups[0].lr = 4;
      expectEqual("state", "report", prepared.commit(), {
        missing: [],
        unexpected: [],
        changed: ['group "0".lr'],
        defaulted: [],
      });
      expectEqual("state", "lr", optimizer.paramGroups[0].lr, 0.25);
      optimizer.paramGroups[0].lr = 4;
      prepared.commit();
      prepared.dispose();
      expectEqual("state", "lr after a second commit", optimizer.paramGroups[0].lr, 4);
      const dropped = optimizer.prepareLoad(state);
      dropped.dispose();
      dropped.dispose();
      expectEqual("state", "lr after dispose", optimizer.paramGroups[0].lr, 4);
      const late = optimizer.prepareLoad(state);
      await expectRefusal("state", "a load that cannot wait, meanwhile", "load-pending", () =>
        optimizer.prepareLoad(state),
      );
      optimizer.dispose();
      late.commit();
      late.dispose();
      expectEqual("state", "parameters", subject.parameters.size, 1);
    },
  },
];

async function load({ optimizer }: Subject, state: OptimizerStateDict, options?: LoadOptions): Promise<void> {
  optimizer.prepareLoad(state, options).commit();
}

/** A state with one thing wrong with it. */
function* damages(state: OptimizerStateDict): Generator<readonly [what: string, damaged: unknown]> {
  for (const none of [null, undefined, 1, "state", [], {}]) yield [`the state ${JSON.stringify(none)}`, none];
  const replaced = (at: string, changes: object): readonly [string, unknown] => [
    `${at} ${JSON.stringify(changes)}`,
    { ...state, ...changes },
  ];
  yield replaced("state", { format: "optim-wrapper" });
  yield replaced("state", { version: 3 });
  yield replaced("state", { version: "1" });
  yield replaced("state", { rule: 1 });
  for (const steps of [-1, 0.5, Number.NaN, "1"]) yield replaced("state", { steps });
  for (const list of [null, {}, "", [null], [{}]]) {
    yield replaced("state", { params: list });
    yield replaced("state", { groups: list });
  }
  const [first, ...rest] = state.params;
  const parameter = (changes: object): readonly [string, unknown] => [
    `a parameter with ${JSON.stringify(changes)}`,
    { ...state, params: [...rest, { ...first, ...changes }] },
  ];
  yield parameter({ name: 1 });
  yield parameter({ name: "b" });
  for (const step of [-1, 0.5, Number.NaN, "1", null]) yield parameter({ step });
  for (const shape of [null, "2", [3], [-2], [Number.NaN], [2, 1, 1e9]]) yield parameter({ shape });
  for (const gradient of [null, [1, 2], "", new Float32Array(3), new Float64Array(2)])
    yield parameter({ gradient });
  for (const slots of [null, 1, { unknown: new Float32Array(2) }, { unknown: [1, 2] }])
    yield parameter({ slots });
  for (const scalarSlots of [null, { unknown: 1 }, { unknown: "1" }]) yield parameter({ scalarSlots });
  const [group] = state.groups;
  for (const hyperparameters of [null, { lr: null }, { lr: "1" }, { lr: Number.NaN }]) {
    yield [
      `a group with ${JSON.stringify({ hyperparameters })}`,
      { ...state, groups: [{ ...group, hyperparameters }] },
    ];
  }
  for (const pendingScale of [0, -1, Number.NaN, "1"]) yield replaced("state", { pendingScale });
}

/** Numbers, strings, booleans, arrays, plain objects and Float32Arrays. */
function expectPlain(where: string, value: unknown): void {
  if (["number", "string", "boolean", "undefined"].includes(typeof value) || value instanceof Float32Array)
    return;
  const prototype: unknown =
    typeof value === "object" && value !== null ? Object.getPrototypeOf(value) : undefined;
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) {
    throw new Error(`${where}: expected plain data, got ${String(value)}`);
  }
  for (const [key, inner] of Object.entries(value as object)) expectPlain(`${where}.${key}`, inner);
}

/** Plain data with nothing shared. */
function structuredCloneOf(value: unknown): unknown {
  if (value instanceof Float32Array) return [...value];
  if (Array.isArray(value)) return value.map(structuredCloneOf);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, structuredCloneOf(inner)]));
}
