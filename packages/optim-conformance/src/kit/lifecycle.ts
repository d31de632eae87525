import { createOptimWrapper } from "@mm/optim-core";
import { adam } from "@mm/optim-rules";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type Kit, type KitTest } from "./kit.ts";

const options = { accumulativeCounts: 2, lossScale: "dynamic", clipGrad: { maxNorm: 1 } } as const;

export const lifecycleTests: readonly KitTest[] = [
  {
    name: "lifecycle: dispose frees all that training allocated",
    async run(kit) {
      const [a, b] = [kit.parameter([1, 2]), kit.parameter([3])];
      const before = kit.factory.liveAllocations();
      const optimizer = kit.factory.createOptimizer(adamWherePossible(kit), { a, b });
      const wrapper = createOptimWrapper(optimizer, options);
      const loss = kit.factory.linearLoss([
        { name: "a", parameter: a, gradient: Float32Array.of(1, 2) },
        { name: "b", parameter: b, gradient: Float32Array.of(3) },
      ]);
      for (let i = 0; i < 7; i += 1) wrapper.updateParams(loss);
      await wrapper.loadStateDict(await wrapper.stateDict());
      wrapper.prepareLoad(await wrapper.stateDict());
      wrapper.updateParams(loss);
      wrapper.updateParams(loss);
      await wrapper.readMetrics();
      wrapper.dispose();
      expectEqual("lifecycle", "live allocations", kit.factory.liveAllocations(), before);
    },
  },
  {
    name: "lifecycle: training allocates nothing that lasts",
    async run(kit) {
      const subject = kit.wrapped(adamWherePossible(kit), { a: [1, 2], b: [3] }, options);
      const round = async (gradient: number): Promise<void> => {
        subject.update({ a: [gradient, 2], b: [1] });
        subject.update({ a: [1, 2] });
        await subject.wrapper.stateDict();
        await subject.wrapper.readMetrics();
        const { loss } = subject.wrapper.updateParams(subject.loss({ b: [1] }), { returnLoss: true });
        await kit.factory.readLoss(loss);
        subject.wrapper.flush();
      };
      // Accumulators and slots are made at first, and at the first skip what tells of it.
      await round(1);
      await round(Infinity);
      await round(1);
      const settled = kit.factory.liveAllocations();
      for (let i = 0; i < 10; i += 1) {
        await round(i % 3 === 0 ? Infinity : i);
        expectEqual(
          "lifecycle",
          `live allocations after round ${i + 1}`,
          kit.factory.liveAllocations(),
          settled,
        );
      }
    },
  },
  {
    name: "lifecycle: loads free what they replace",
    async run(kit) {
      const subject = kit.wrapped(adamWherePossible(kit), { a: [1, 2], b: [3] }, options);
      for (let i = 0; i < 3; i += 1) subject.update({ a: [1, 2], b: [1] });
      const state = await subject.wrapper.stateDict();
      await subject.wrapper.loadStateDict(state);
      const settled = kit.factory.liveAllocations();
      for (let i = 0; i < 3; i += 1) {
        await subject.wrapper.loadStateDict(state);
        expectEqual("lifecycle", "live allocations after a load", kit.factory.liveAllocations(), settled);
        subject.wrapper.prepareLoad(state).dispose();
        expectEqual(
          "lifecycle",
          "live allocations after half a load",
          kit.factory.liveAllocations(),
          settled,
        );
      }
    },
  },
  {
    name: "lifecycle: a refusal leaves nothing behind",
    async run(kit) {
      const subject = kit.wrapped(descent(), { a: [1, 2] }, options);
      const other = await kit.wrapped(descent(), { z: [1] }, options).wrapper.stateDict();
      subject.update({ a: [1, 2] });
      const settled = kit.factory.liveAllocations();
      await expectRefusal("lifecycle", "a state of other parameters", "state-mismatch", () =>
        subject.wrapper.loadStateDict(other),
      );
      const complete = subject.loss({ a: [1, 1] });
      try {
        subject.wrapper.updateParams((pass: never): never => {
          complete(pass);
          throw new Error("from the closure");
        });
      } catch {
        // It is the closure's own.
      }
      expectEqual("lifecycle", "live allocations", kit.factory.liveAllocations(), settled);
    },
  },
  {
    name: "lifecycle: parameters outlive their optimizer, with its values",
    async run(kit) {
      const subject = kit.subject(descent(), { w: [1, 2] });
      subject.train({ w: [1, 1] });
      subject.optimizer.dispose();
      const another = kit.over(descent(), subject);
      await kit.expectParameters("lifecycle", another, { w: [0, 1] });
      another.train({ w: [1, 1] });
      await kit.expectParameters("lifecycle: trained on", another, { w: [-1, 0] });
    },
  },
  {
    name: "lifecycle: two optimizers may share parameters",
    async run(kit) {
      const first = kit.subject(descent(), { w: [1, 2] });
      const second = kit.over(descent(0.5), first);
      first.train({ w: [1, 0] });
      second.train({ w: [2, 2] });
      first.train({ w: [1, 1] });
      await kit.expectParameters("lifecycle", first, { w: [-2, 0] });
      await kit.expectParameters("lifecycle", second, { w: [-2, 0] });
    },
  },
  {
    name: "lifecycle: dispose twice is fine, anything else after it is refused",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1] }, options);
      const { wrapper, optimizer } = subject;
      const state = await wrapper.stateDict();
      const prepared = wrapper.prepareLoad(state);
      wrapper.dispose();
      wrapper.dispose();
      optimizer.dispose();
      prepared.commit();
      prepared.dispose();
      const loss = subject.loss({ w: [1] });
      const calls: Readonly<Record<string, () => unknown>> = {
        "optimizer.backward": () => optimizer.backward(loss),
        "optimizer.step": () => optimizer.step(),
        "optimizer.zeroGrad": () => optimizer.zeroGrad(),
        "optimizer.freeze": () => optimizer.freeze(["w"]),
        "optimizer.readMetrics": () => optimizer.readMetrics(),
        "optimizer.stateDict": () => optimizer.stateDict(),
        "optimizer.prepareLoad": () => optimizer.prepareLoad(state.optimizer),
        "optimizer.createLossScaler": () => optimizer.createLossScaler("dynamic"),
        ...(kit.capabilities.transfer && {
          "optimizer.readParameters": () => optimizer.readParameters(),
          "optimizer.writeParameters": () => optimizer.writeParameters({ w: Float32Array.of(1) }),
          "optimizer.readGradients": () => optimizer.readGradients(),
          "optimizer.writeGradients": () => optimizer.writeGradients({ w: Float32Array.of(1) }),
        }),
        ...(optimizer.readGradientsSync && {
          "optimizer.readGradientsSync": () => optimizer.readGradientsSync?.(),
        }),
        "wrapper.updateParams": () => wrapper.updateParams(loss),
        "wrapper.backward": () => wrapper.backward(loss),
        "wrapper.step": () => wrapper.step(),
        "wrapper.zeroGrad": () => wrapper.zeroGrad(),
        "wrapper.flush": () => wrapper.flush(),
        "wrapper.readMetrics": () => wrapper.readMetrics(),
        "wrapper.stateDict": () => wrapper.stateDict(),
        "wrapper.loadStateDict": () => wrapper.loadStateDict(state),
        "wrapper.initializeCountStatus": () => wrapper.initializeCountStatus({}),
        "wrapper.optimContext": () => wrapper.optimContext(() => 1),
      };
      for (const [name, call] of Object.entries(calls))
        await expectRefusal("lifecycle", name, "disposed", call);
      expectEqual(
        "lifecycle",
        "getters",
        [wrapper.getLr().lr, wrapper.innerCount, optimizer.rule],
        [[1], 0, optimizer.rule],
      );
    },
  },
];

/** A rule with slots, where any rule runs. */
function adamWherePossible({ capabilities }: Kit): ReturnType<typeof descent> {
  return capabilities.rules ? adam({ lr: 0.1 }) : descent(0.1);
}
