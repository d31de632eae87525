import type { OptimizerStateDict } from "@mm/optim-core";
import { packBfloat16, unpackBfloat16 } from "@mm/optim-core/backend";
import type { UpdateRule } from "@mm/optim-core/rule";
import { adafactor, adamw, ema, lamb, sgd } from "@mm/optim-rules";
import { expectEqual, expectNumbers, expectRefusal, expectTensors } from "./assert.ts";
import { type Initials, type Kit, type KitTest, type Subject } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

const bfloat16 = { slotDtype: "bfloat16" } as const;

/** Odd and even lengths, below and above what kernels take at once; a matrix has rows that begin in the middle of a word. */
const initials: Initials = {
  one: Float32Array.of(0.5),
  few: noise(repeatable(1), 7),
  many: noise(repeatable(2), 1027),
  matrix: { shape: [13, 9], values: noise(repeatable(3), 117) },
};
const names = Object.keys(initials);
const lengths = [1, 7, 1027, 117];

/** With one pass and with several, in one of which slots are read; with slots that stay in float32. */
const rules: Readonly<Record<string, () => UpdateRule>> = {
  SGD: () => sgd({ lr: 0.1, momentum: 0.9, nesterov: true }),
  AdamW: () => adamw({ lr: 0.1, betas: [0.5, 0.75] }),
  LAMB: () => lamb({ lr: 0.1, betas: [0.5, 0.75] }),
  Adafactor: () => adafactor({ lr: 0.1 }),
  "EMA of AdamW": () => ema(adamw({ lr: 0.1, betas: [0.5, 0.75] }), { emaDecay: 0.5 }),
};

export const slotTests: readonly KitTest[] = [
  ...Object.entries(rules).map(([name, rule]): KitTest => ({
    name: `slots: those of ${name} in bfloat16 are what float32 gives, rounded to nearest, ties to even`,
    needs: ["rules", "transfer"],
    slotDtype: "bfloat16",
    async run(kit) {
      const next = repeatable(4);
      const narrow = kit.subject(rule(), initials, bfloat16);
      const wide = kit.subject(rule(), initials);
      for (let step = 0; step < 4; step += 1) {
        // Both begin this step with the same numbers, which bfloat16 has.
        const state = await narrow.optimizer.stateDict();
        wide.optimizer.writeParameters(await narrow.read());
        wide.optimizer.prepareLoad(state).commit();
        const gradients = Object.fromEntries(
          names.map((each, index) => [each, noise(next, lengths[index] as number)]),
        );
        // Halfway between two bfloat16 where a moment begins at 0 and takes half or a quarter of it.
        (gradients["few"] as Float32Array).set([1 + 2 ** -8, 1 + 3 * 2 ** -8, 2 ** -133, 0]);
        narrow.train(gradients);
        wide.train(gradients);
        expectTensors("slots: parameters", await narrow.read(), await wide.read(), kit.referenceTolerance);
        expectRounded(kit, await narrow.optimizer.stateDict(), await wide.optimizer.stateDict());
      }
    },
  })),
  {
    name: "slots: a state from bfloat16 is float32, and resumes to the bit",
    needs: ["rules"],
    slotDtype: "bfloat16",
    async run(kit) {
      const next = repeatable(5);
      const rule = adamw({ lr: 0.1 });
      const straight = kit.subject(rule, initials, bfloat16);
      const gradients = (): Record<string, Float32Array> =>
        Object.fromEntries(names.map((each, index) => [each, noise(next, lengths[index] as number)]));
      for (let step = 0; step < 3; step += 1) straight.train(gradients());
      const saved = await straight.optimizer.stateDict();
      expectEqual("slots", "version", saved.version, 1);
      const resumed = kit.subject(rule, await straight.read(), bfloat16);
      resumed.optimizer.prepareLoad(saved).commit();
      expectEqual(
        "slots",
        "slots after a load",
        slotsOf(await resumed.optimizer.stateDict()),
        slotsOf(saved),
      );
      for (let step = 0; step < 3; step += 1) {
        const batch = gradients();
        straight.train(batch);
        resumed.train(batch);
      }
      expectTensors("slots", await resumed.read(), await straight.read(), "exact");
      const read = await straight.optimizer.readSlots(["expAvg"]);
      const { params } = await straight.optimizer.stateDict();
      for (const { name, slots } of params)
        expectNumbers(`slots: readSlots: ${name}`, read.expAvg[name] ?? [], slots["expAvg"] ?? [], "exact");
    },
  },
  {
    name: "slots: a load rounds to nearest, ties to even",
    needs: ["rules"],
    slotDtype: "bfloat16",
    async run(kit) {
      const subject = kit.subject(sgd({ lr: 1, momentum: 0.5 }), { w: new Float32Array(5) }, bfloat16);
      subject.train({ w: new Float32Array(5) });
      const state = await subject.optimizer.stateDict();
      // One unit in the last place of a bfloat16 in [1, 2) is 1/128: ties at odd multiples of 1/256.
      state.params[0]?.slots["momentumBuffer"]?.set([1 + 1 / 256, 1 + 3 / 256, -1 - 1 / 512, 3.4e38, 1 / 3]);
      subject.optimizer.prepareLoad(state).commit();
      const loaded = (await subject.optimizer.stateDict()).params[0]?.slots["momentumBuffer"] ?? [];
      // 3.4e38 is above the largest, (2 − 2⁻⁷) · 2¹²⁷, by more than half a unit; 1/3 = 1.0101010|1…₂ · 2⁻², rounded up.
      expectNumbers("slots", loaded, [1, 1 + 2 / 128, -1, Infinity, (1 + 43 / 128) / 4], "exact");
    },
  },
  {
    name: "slots: by name some are in bfloat16, the others as they were",
    needs: ["rules"],
    slotDtype: "bfloat16",
    async run(kit) {
      const slotDtype = { expAvg: "bfloat16" } as const;
      const narrow = kit.subject(adamw({ lr: 0.1 }), initials, { slotDtype });
      const wide = kit.subject(adamw({ lr: 0.1 }), initials);
      const gradients = Object.fromEntries(
        names.map((each, index) => [each, noise(repeatable(6), lengths[index] as number)]),
      );
      for (const subject of [narrow, wide]) subject.train(gradients);
      const [ours, theirs] = [await narrow.optimizer.stateDict(), await wide.optimizer.stateDict()];
      expectRounded(kit, ours, theirs, ["expAvg"]);
    },
  },
  {
    name: "slots: storage that is none, and of what is no slot, is refused at construction",
    needs: ["rules"],
    slotDtype: "bfloat16",
    async run(kit) {
      const make = (rule: UpdateRule, slotDtype: unknown) => (): Subject =>
        kit.subject(rule, { matrix: { shape: [3, 5], values: new Float32Array(15) } }, {
          slotDtype,
        } as typeof bfloat16);
      const refused = (
        what: string,
        code: "invalid-option" | "unknown-name" | "unsupported",
        run: () => void,
      ) => expectRefusal("slots", what, code, run);
      await refused("float8", "invalid-option", make(adamw(), "float8"));
      await refused("expAvg in float16", "invalid-option", make(adamw(), { expAvg: "float16" }));
      await refused("a slot that AdamW lacks", "unknown-name", make(adamw(), { momentumBuffer: "bfloat16" }));
      await refused(
        "a slot that begins as the parameter",
        "unsupported",
        make(ema(adamw(), { emaDecay: 0.5 }), { ema: "bfloat16" }),
      );
    },
  },
];

/** Each slot of `narrow` is that of `wide`, rounded; or is within what the backend is off, where it is. */
function expectRounded(
  kit: Kit,
  narrow: OptimizerStateDict,
  wide: OptimizerStateDict,
  only?: readonly string[],
): void {
  const allowed = kit.referenceTolerance;
  for (const [index, { name, slots }] of narrow.params.entries()) {
    const others = wide.params[index]?.slots ?? {};
    for (const [slot, values] of Object.entries(slots)) {
      const where = `slots: ${name}.${slot}`;
      const expected = others[slot] ?? new Float32Array();
      const isPacked = only?.includes(slot) ?? (values.length === lengths[index] && slot !== "ema");
      if (!isPacked) {
        expectNumbers(where, values, expected, allowed);
        continue;
      }
      expectNumbers(`${where} has 8 significant bits`, values, rounded(values), "exact");
      if (allowed === "exact") {
        expectNumbers(where, values, rounded(expected), "exact");
        continue;
      }
      // Rounding keeps an order: a number in an interval is rounded to one between its ends, rounded.
      const largest = expected.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
      const off = expected.map(
        (value) => allowed.relative * Math.abs(value) + 0.1 * allowed.relative * largest,
      );
      const [least, most] = [
        rounded(expected.map((value, at) => value - (off[at] as number))),
        rounded(expected.map((value, at) => value + (off[at] as number))),
      ];
      const outside = values.findIndex(
        (value, at) => !(value >= (least[at] as number) && value <= (most[at] as number)),
      );
      if (outside >= 0) {
        const range = `between ${least[outside]} and ${most[outside]}`;
        throw new Error(`${where}[${outside}] expected ${range}, got ${values[outside]}`);
      }
    }
  }
}

const rounded = (values: Float32Array): Float32Array => unpackBfloat16(packBfloat16(values), values.length);

const slotsOf = ({ params }: OptimizerStateDict): readonly object[] =>
  params.map(({ slots }) =>
    Object.fromEntries(Object.entries(slots).map(([slot, values]) => [slot, [...values]])),
  );
