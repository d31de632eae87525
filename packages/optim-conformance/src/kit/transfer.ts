import { isOptimError, type NamedTensors } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import { expectEqual, expectRefusal, expectTensors } from "./assert.ts";
import { descent, type Gradients, type KitTest, type Subject } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

export const transferTests: readonly KitTest[] = [
  {
    name: "transfer: two ranks that average their gradients are one big batch",
    needs: ["transfer", "rules"],
    async run(kit) {
      const next = repeatable(3);
      const initials = { w: noise(next, 7), b: noise(next, 2) };
      const rule = adam({ lr: 0.1 });
      const ranks = [kit.subject(rule, initials), kit.subject(rule, initials)] as const;
      const whole = kit.subject(rule, initials);
      for (let step = 0; step < 4; step += 1) {
        const batches = ranks.map(() => ({ w: noise(next, 7), b: noise(next, 2) }));
        for (const [index, rank] of ranks.entries()) rank.backward(batches[index] as Gradients);
        await average(ranks, 0.5);
        for (const rank of ranks) {
          rank.optimizer.step();
          rank.optimizer.zeroGrad();
        }
        for (const batch of batches) whole.backward(batch, { scale: 0.5 });
        whole.optimizer.step();
        whole.optimizer.zeroGrad();
        for (const rank of ranks)
          await kit.expectParameters(`transfer: step ${step + 1}`, rank, await whole.read());
      }
    },
  },
  {
    name: "transfer: an overflow on one rank skips the step on all",
    needs: ["transfer"],
    async run(kit) {
      const ranks = [kit.subject(descent(), { w: [1] }), kit.subject(descent(), { w: [1] })] as const;
      const scalers = ranks.map(({ optimizer }) => optimizer.createLossScaler(8));
      for (const [index, rank] of ranks.entries()) {
        rank.backward({ w: [index === 0 ? Infinity : 1] }, { lossScaler: scalers[index] });
      }
      await average(ranks, 0.5);
      for (const [index, rank] of ranks.entries()) {
        rank.optimizer.step({ lossScaler: scalers[index] });
        await kit.expectParameters("transfer", rank, { w: [1] });
        expectEqual("transfer", "skipped", (await rank.optimizer.readMetrics()).skipped, 1);
        scalers[index]?.dispose();
      }
    },
  },
  {
    name: "transfer: a rank without a backward steps by what it is given",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { a: [1], b: [1] });
      subject.optimizer.writeGradients({ a: Float32Array.of(0.25) });
      subject.optimizer.step({ rescale: 2 });
      await kit.expectParameters("transfer", subject, { a: [0.5], b: [1] });
      expectEqual("transfer", "steps", (await subject.optimizer.readMetrics()).steps, 1);
    },
  },
  {
    name: "transfer: written gradients replace, and names that are left out keep theirs",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { a: [0], b: [0], c: [0] });
      subject.backward({ a: [1], b: [1] });
      await subject.optimizer.readGradients();
      subject.optimizer.writeGradients({ b: Float32Array.of(5), c: Float32Array.of(7) });
      expectTensors("transfer", await subject.optimizer.readGradients(), { a: [1], b: [5], c: [7] }, "exact");
    },
  },
  {
    name: "transfer: what is read is a private copy in one buffer, in declared order",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { b: [1, 2], a: [3], empty: [] });
      subject.backward({ a: [1], b: [1, 1] });
      for (const tensors of [
        await subject.optimizer.readGradients(),
        await subject.optimizer.readParameters(),
      ]) {
        const views = Object.values(tensors);
        expectEqual(
          "transfer",
          "names",
          Object.keys(tensors).filter((name) => name !== "empty"),
          ["b", "a"],
        );
        expectEqual("transfer", "buffers", new Set(views.map(({ buffer }) => buffer)).size, 1);
        for (const view of views) view.fill(1000);
      }
      subject.optimizer.step();
      await kit.expectParameters("transfer", subject, { b: [0, 1], a: [2], empty: [] });
    },
  },
  {
    name: "transfer: what is read without waiting is what waiting reads, a private copy in one buffer",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { b: [1, 2], a: [3], unreached: [4] });
      subject.backward({ a: [1], b: [1, 0.5] });
      const tensors = readWithoutWaiting(subject);
      if (tensors === undefined) return;
      expectEqual("transfer", "names", Object.keys(tensors), ["b", "a"]);
      expectTensors("transfer", tensors, await subject.optimizer.readGradients(), "exact");
      const views = Object.values(tensors);
      expectEqual("transfer", "buffers", new Set(views.map(({ buffer }) => buffer)).size, 1);
      for (const view of views) view.fill(1000);
      subject.optimizer.step();
      await kit.expectParameters("transfer", subject, { b: [0, 1.5], a: [2], unreached: [4] });
    },
  },
  {
    name: "transfer: gradients that were read without waiting may be written, until they change",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { w: [1] });
      subject.backward({ w: [1] });
      if (readWithoutWaiting(subject) === undefined) return;
      subject.optimizer.writeGradients({ w: Float32Array.of(3) });
      expectTensors("transfer", readWithoutWaiting(subject) as NamedTensors, { w: [3] }, "exact");
      subject.backward({ w: [2] });
      await expectRefusal("transfer", "a write after backward", "gradients-changed", () =>
        subject.optimizer.writeGradients({ w: Float32Array.of(0) }),
      );
      // 3 was written, 2 added.
      expectTensors("transfer", readWithoutWaiting(subject) as NamedTensors, { w: [5] }, "exact");
      subject.optimizer.step();
      subject.optimizer.zeroGrad();
      expectTensors("transfer", readWithoutWaiting(subject) as NamedTensors, {}, "exact");
      await kit.expectParameters("transfer", subject, { w: [-4] });
    },
  },
  {
    name: "transfer: gradients are as of the call",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { w: [1] });
      subject.backward({ w: [4] });
      const [gradients, parameters] = [subject.optimizer.readGradients(), subject.optimizer.readParameters()];
      subject.optimizer.step();
      subject.backward({ w: [4] });
      expectTensors("transfer: gradients", await gradients, { w: [4] }, "exact");
      expectTensors("transfer: parameters", await parameters, { w: [1] }, "exact");
    },
  },
  {
    name: "transfer: reads that are in flight over several steps are each as of their call",
    needs: ["transfer", "rules"],
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { w: [8] });
      const { optimizer } = subject;
      const reads: Promise<readonly NamedTensors[]>[] = [];
      for (let step = 1; step <= 4; step += 1) {
        subject.backward({ w: [step] });
        reads.push(Promise.all([optimizer.readParameters(), optimizer.readGradients()]));
        optimizer.step();
        optimizer.zeroGrad();
      }
      // The buffer is 1, 0.5 + 2, 1.25 + 3: 8, 8 − 1, 7 − 2.5, 4.5 − 4.25
      for (const [index, w] of [8, 7, 4.5, 0.25].entries()) {
        const [parameters, gradients] = (await reads[index]) as readonly [NamedTensors, NamedTensors];
        expectTensors(`transfer: parameters of step ${index + 1}`, parameters, { w: [w] }, kit.tolerance);
        expectTensors(`transfer: gradients of step ${index + 1}`, gradients, { w: [index + 1] }, "exact");
      }
    },
  },
  {
    name: "transfer: raw accumulators carry window and loss scale",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [0] }, { accumulativeCounts: 4, lossScale: 64 });
      subject.update({ w: [2] });
      // 2 ÷ 4 × 64
      expectTensors("transfer", await subject.optimizer.readGradients(), { w: [32] }, "exact");
    },
  },
  {
    name: "transfer: a write after the gradients have changed is refused",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { w: [0] });
      const changes = {
        backward: () => subject.backward({ w: [1] }),
        step: () => subject.optimizer.step(),
        zeroGrad: () => subject.optimizer.zeroGrad(),
      };
      for (const [name, change] of Object.entries(changes)) {
        subject.optimizer.zeroGrad();
        subject.backward({ w: [1] });
        const gradients = await subject.optimizer.readGradients();
        change();
        await expectRefusal("transfer", `a write after ${name}`, "gradients-changed", () =>
          subject.optimizer.writeGradients(gradients),
        );
      }
    },
  },
  {
    name: "transfer: parameters that are written are trained on",
    needs: ["transfer"],
    async run(kit) {
      const subject = kit.subject(descent(), { a: [1, 2], b: [3] });
      subject.optimizer.writeParameters({ a: Float32Array.of(10, 20) });
      subject.train({ a: [1, 1], b: [1] });
      await kit.expectParameters("transfer", subject, { a: [9, 19], b: [2] });
    },
  },
  {
    name: "transfer: wrong names and lengths are refused, and change nothing",
    needs: ["transfer"],
    async run(kit) {
      const { optimizer, ...subject } = kit.subject(descent(), { a: [1, 2] });
      const good = Float32Array.of(5, 5);
      for (const write of ["writeGradients", "writeParameters"] as const) {
        await expectRefusal("transfer", `${write} of an unknown name`, "unknown-parameter", () =>
          optimizer[write]({ a: good, z: good }),
        );
        for (const wrong of [Float32Array.of(1), [1, 2] as unknown as Float32Array]) {
          await expectRefusal("transfer", `${write} of a wrong tensor`, "invalid-parameter", () =>
            optimizer[write]({ a: wrong }),
          );
        }
      }
      expectTensors("transfer: gradients", await optimizer.readGradients(), {}, "exact");
      expectTensors("transfer: parameters", await optimizer.readParameters(), { a: [1, 2] }, "exact");
      expectEqual("transfer", "parameters", subject.parameters.size, 1);
    },
  },
];

/** `undefined` where the backend, or the device that its library uses now, has to be waited for. */
function readWithoutWaiting({ optimizer }: Subject): NamedTensors | undefined {
  try {
    return optimizer.readGradientsSync?.();
  } catch (error) {
    if (isOptimError(error) && error.code === "unsupported") return undefined;
    throw error;
  }
}

/** A collective operation: every rank gets the sum times `factor`. */
async function average(ranks: readonly Subject[], factor: number): Promise<void> {
  const all = await Promise.all(ranks.map(({ optimizer }) => optimizer.readGradients()));
  const [first = {}] = all;
  const sums = Object.fromEntries(
    Object.entries(first).map(([name, values]) => [
      name,
      values.map((_, index) =>
        all.reduce((sum, tensors) => sum + factor * (tensors[name]?.[index] as number), 0),
      ),
    ]),
  );
  for (const { optimizer } of ranks) optimizer.writeGradients(sums);
}
