import { isOptimError } from "@mm/optim-core";
import { expectEqual, expectRefusal } from "./assert.ts";
import { descent, type KitTest } from "./kit.ts";

/**
 * Capabilities that are there are proven by the tests that need them. Here stands what callers rely on of the others: the place of a decision,
 * and that a call which is said to be impossible is refused, and does not half work.
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
];
