import { checkOnHost, type CheckRequest, arrayKernels, type StepItem } from "@mm/optim-core/backend";
import { sgd } from "@mm/optim-rules";
import { beforeAll, describe, expect, test } from "vitest";
import { type NormKind, record } from "../../src/kernel/index.ts";
import { openDevice } from "../support/node.ts";
import { ordinaryArray, randomNumbers } from "../../../../test-support/numbers.ts";
import { programOf } from "../../../../test-support/programs.ts";
import { Rig } from "./rig.ts";
import { type StepHeader, Steps } from "./steps.ts";

let rig: Rig;
beforeAll(async () => {
  rig = new Rig(await openDevice());
});

const rule = sgd();
const stepsOf = (gradients: readonly Float32Array[]): Steps =>
  new Steps(rig, gradients, programOf(rule), rule.hyperparameters);

/** Core's own check, in float64. */
function reference(gradients: readonly Float32Array[], normType: number, ignoreNonFinite = false): number {
  const request: CheckRequest = {
    normType,
    finite: false,
    ignoreNonFinite,
    orThrow: false,
    lossScaler: undefined,
  };
  const items = gradients.map((accumulator) => ({ parameter: { accumulator } }));
  const checked = checkOnHost(
    arrayKernels(),
    items as unknown as StepItem<unknown, Float32Array, number>[],
    request,
  );
  return checked.norm as number;
}

const norms: readonly (readonly [NormKind, number])[] = [
  [1, 1],
  [2, 2],
  ["power", 3],
  ["power", 0.5],
  ["power", 40],
  ["inf", Infinity],
];

async function normOf(gradients: readonly Float32Array[], norm: NormKind, power: number): Promise<number> {
  const steps = stepsOf(gradients);
  steps.step({ norm, power });
  return (await steps.globals()).norm;
}

const random = randomNumbers(11);

describe.each(norms)("norm %s, p = %d", (norm, p) => {
  // 8,192 partial sums of float32: 1e-6 in theory. pow(x, p) may be off by p times what log2 and exp2 are off by.
  const tolerance = norm === "power" ? 1e-5 : 2e-6;
  /** The relative error of the norm. */
  const error = async (gradients: readonly Float32Array[]): Promise<number> =>
    Math.abs((await normOf(gradients, norm, p)) / reference(gradients, p) - 1);

  test("of all gradients together, of any length", async () => {
    const lengths = [0, 1, 3, 4, 5, 63, 64, 65, 4095, 4096, 4097, 10_001];
    expect(await error(lengths.map((length) => ordinaryArray(random, length)))).toBeLessThanOrEqual(
      tolerance,
    );
  });

  test("of more tiles than workgroups", async () => {
    expect(await error([ordinaryArray(random, 129 * 4096 + 1)])).toBeLessThanOrEqual(tolerance);
  });

  test("of finite gradients is finite: 1e30, 1e-30, and both", async () => {
    const sized = (size: number): Float32Array => ordinaryArray(random, 1000).map((x) => size * x);
    expect(await error([sized(1e30)])).toBeLessThanOrEqual(tolerance);
    expect(await error([sized(1e-30)])).toBeLessThanOrEqual(tolerance);
    expect(await error([sized(1e-30), sized(1e30), sized(1)])).toBeLessThanOrEqual(tolerance);
    // 1.5e18² = 2.25e36 fits into float32, the sum of all 262,144 does not.
    expect(await error([new Float32Array(64 * 4096).fill(1.5e18)])).toBeLessThanOrEqual(tolerance);
  });

  test("of nothing but zeros is 0", async () => {
    expect(await normOf([new Float32Array(5), new Float32Array(0)], norm, p)).toBe(0);
  });

  test.each([NaN, Infinity, -Infinity])("of %d among others", async (bad) => {
    const gradient = ordinaryArray(random, 4097);
    gradient[4096] = bad;
    expect(await normOf([new Float32Array(7), gradient], norm, p)).toBe(Math.abs(bad));
    const steps = stepsOf([gradient]);
    steps.step({ norm, power: p, ignoreNonFinite: true });
    const found = await steps.globals();
    expect(Math.abs(found.norm / reference([gradient], p, true) - 1)).toBeLessThanOrEqual(tolerance);
    expect(found.finite).toBe(1);
  });
});

describe("is all finite?", () => {
  const finite = async (gradients: readonly Float32Array[], options: StepHeader = {}): Promise<number> => {
    const steps = stepsOf(gradients);
    steps.step({ skips: true, ...options });
    return (await steps.globals()).finite;
  };

  test("the largest numbers are, whose squares are not", async () => {
    const largest = 2 ** 128 - 2 ** 104;
    for (const norm of ["none", 1, 2, "inf"] as const) {
      expect(await finite([new Float32Array(9000).fill(-largest)], { norm })).toBe(1);
    }
  });

  test.each([NaN, Infinity, -Infinity])("one %d anywhere is found", async (bad) => {
    for (const place of [0, 3, 4, 4095, 4096, 8999]) {
      const gradient = new Float32Array(9000).fill(1);
      gradient[place] = bad;
      expect(await finite([new Float32Array(3), gradient])).toBe(0);
    }
  });

  test("what takes no part is not looked at", async () => {
    const steps = stepsOf([Float32Array.of(3, 4), Float32Array.of(NaN), Float32Array.of(12)]);
    steps.setRecord(1, record.active, 0);
    steps.step({ norm: 2, skips: true });
    // √(3² + 4² + 12²) = 13
    expect(await steps.globals()).toMatchObject({ finite: 1, norm: 13, steps: 1 });
  });
});
