import { isOptimError } from "@mm/optim-core";
import { adamw } from "@mm/optim-rules";
import { expectEqual, expectNumbers, expectRefusal } from "./assert.ts";
import { descent, type Kit, type KitTest } from "./kit.ts";

/** The largest parameter that is made to see that a larger one is refused. */
const cheapLength = 1 << 16;

/**
 * Capabilities that are there are proven by the tests that need them. Here stands what callers rely on of the others: the place of a decision,
 * that what is said to be impossible is refused and does not half work, and that nothing is denied which is there. A backend that denies what it
 * does would be passed over by those who look for it.
 */
export const capabilityTests: readonly KitTest[] = [
  {
    name: "capabilities: decides says whether the step itself refuses, or the next read",
    async run(kit) {
      const subject = kit.wrapped(descent(), { w: [1] }, { onNonFinite: "throw" });
      let inStep = false;
      try {
        subject.update({ w: [Number.NaN] });
      } catch (error) {
        if (!isOptimError(error)) throw error;
        inStep = true;
      }
      const { decides } = kit.capabilities;
      expectEqual("check", "where a gradient of NaN is refused", inStep ? "host" : "device", decides);
      if (!inStep)
        await expectRefusal("check", "the next read", "non-finite-gradient", () =>
          subject.wrapper.readMetrics(),
        );
    },
  },
  {
    name: "capabilities: calls that they rule out are refused",
    async run(kit) {
      const { groups, transfer, portableState } = kit.capabilities;
      const subject = kit.subject(descent(), { w: [1] });
      const { optimizer } = subject;
      const refused = (what: string, run: () => unknown): Promise<void> =>
        expectRefusal("capabilities", what, ["unsupported", "state-mismatch", "invalid-state"], run);
      if (!groups) {
        const added = { params: { added: kit.parameter([0]) } };
        await refused("addParamGroup, where groups is false,", () => optimizer.addParamGroup(added));
      }
      if (!transfer) {
        await refused("readGradients, where transfer is false,", () => optimizer.readGradients());
        await refused("readParameters, where transfer is false,", () => optimizer.readParameters());
        await refused("writeParameters, where transfer is false,", () =>
          optimizer.writeParameters({ w: Float32Array.of(2) }),
        );
        await refused("writeGradients, where transfer is false,", () =>
          optimizer.writeGradients({ w: Float32Array.of(2) }),
        );
      }
      if (!portableState) {
        const other = kit.reference(subject, descent(), { w: [1] });
        const state = await other.optimizer.stateDict();
        await refused("the reference's state, where portableState is false,", () =>
          optimizer.prepareLoad(state).dispose(),
        );
      }
    },
  },
  {
    name: "capabilities: inPlace says whether a step writes where the parameter was",
    async run(kit) {
      const { factory } = kit;
      if (factory.storageOf === undefined) return;
      const subject = kit.subject(descent(), { w: [4] });
      const w = subject.parameters.get("w");
      // The first step may move a parameter to where it can be written.
      subject.train({ w: [1] });
      const before = factory.storageOf(w);
      subject.train({ w: [1] });
      await kit.expectParameters("update", subject, { w: [2] });
      const isSame = factory.storageOf(w) === before;
      expectEqual("update", "whether the storage is the same after a step", isSame, kit.capabilities.inPlace);
    },
  },
  {
    name: "capabilities: fused says whether a rule is a kernel of its own",
    needs: ["rules"],
    async run(kit) {
      const { fused } = kit.capabilities;
      if (kit.factory.launches === undefined || fused === undefined) return;
      // AdamW has a dozen operations more than plain descent: as a kernel of its own it is launched as often.
      const more = (await launchesOf(kit, adamw({ lr: 0.1 }))) - (await launchesOf(kit, descent()));
      expectEqual("update", "whether a longer rule is launched as often", more < 4, fused);
    },
  },
  {
    name: "capabilities: perParameterSteps says whether each parameter counts its own steps",
    needs: ["rules"],
    async run(kit) {
      const subject = kit.subject(adamw({ lr: 0.5, betas: [0.5, 0.5], eps: 0, weightDecay: 0 }), {
        v: [1],
        w: [1],
      });
      subject.train({ w: [1] });
      subject.train({ w: [1] });
      subject.train({ v: [1], w: [1] });
      const { v } = await subject.read();
      // Its first own step is lr × 1. As the third of all it would be lr × (0.5 ÷ 0.875) ÷ √(0.5 ÷ 0.875) = 0.378.
      const isOwn = Math.abs((v?.[0] ?? Number.NaN) - 0.5) < 1e-3;
      expectEqual("update", "whether the step of v is its first", isOwn, kit.capabilities.perParameterSteps);
    },
  },
  {
    name: "capabilities: maxParameterLength is the largest parameter that is taken",
    async run(kit) {
      const { maxParameterLength: most } = kit.capabilities;
      if (!(most >= 1)) throw new Error(`capabilities: maxParameterLength expected at least 1, got ${most}`);
      if (most > cheapLength) return;
      const subject = kit.subject(descent(), { w: new Float32Array(most) });
      subject.train({ w: new Float32Array(most).fill(1) });
      expectNumbers(
        "update: w",
        (await subject.read())["w"] ?? [],
        new Float32Array(most).fill(-1),
        kit.tolerance,
      );
      const codes = ["invalid-parameter", "unsupported", "arena-full"] as const;
      await expectRefusal("capabilities", `a parameter of ${most + 1} elements`, codes, () =>
        kit.subject(descent(), { w: new Float32Array(most + 1) }),
      );
    },
  },
];

/** Kernels that one step of the rule runs, over one parameter: the third, when all is there. */
async function launchesOf(kit: Kit, rule: ReturnType<typeof descent>): Promise<number> {
  const { launches = () => Number.NaN } = kit.factory;
  const subject = kit.subject(rule, { w: [1, 2] });
  for (let step = 0; step < 2; step += 1) subject.train({ w: [1, 1] });
  subject.backward({ w: [1, 1] });
  await subject.optimizer.readMetrics();
  const before = launches();
  subject.optimizer.step();
  const after = launches();
  await subject.optimizer.readMetrics();
  return after - before;
}
