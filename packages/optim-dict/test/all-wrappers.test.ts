import { OptimError } from "@mm/optim-core";
import { expect, test } from "vitest";
import { OptimWrapperDict } from "@mm/optim-dict";
import { FakeWrapper } from "./fake-wrapper.ts";
import { refusal } from "../../../test-support/refusal.ts";

interface Momentum {
  lr: number;
  momentum: number;
}

const both = (log: string[] = []) => {
  const generator = new FakeWrapper({ backend: "a", groups: [{ lr: 2e-4 }], log });
  const discriminator = new FakeWrapper<() => number, number, Momentum>({
    backend: "b",
    groups: [
      { lr: 0.1, momentum: 0.9 },
      { lr: 0.01, momentum: 0.5 },
    ],
    log,
  });
  return { generator, discriminator, dict: new OptimWrapperDict({ generator, discriminator }) };
};

test("zeroGrad and dispose reach every wrapper, in order", () => {
  const log: string[] = [];
  const { dict } = both(log);
  dict.zeroGrad();
  dict.dispose();
  dict.dispose();
  expect(log).toEqual(["zeroGrad a", "zeroGrad b", "dispose a", "dispose b", "dispose a", "dispose b"]);
});

test("a dict that is used up is disposed by `using`", () => {
  const log: string[] = [];
  const { dict } = both(log);
  dict[Symbol.dispose]();
  expect(log).toEqual(["dispose a", "dispose b"]);
});

test("parameter groups are live, by name", () => {
  const { dict, discriminator } = both();
  expect(dict.paramGroups.discriminator).toBe(discriminator.paramGroups);
  dict.paramGroups.discriminator[0].lr = 0.3;
  expect(discriminator.getLr().lr).toEqual([0.3, 0.01]);
});

test("learning rates and momenta are flat; the base rate is there with several groups", () => {
  const { dict } = both();
  expect(dict.getLr()).toEqual({
    "generator.lr": [2e-4],
    "discriminator.baseLr": [0.1],
    "discriminator.lr": [0.1, 0.01],
  });
  expect(Object.keys(dict.getLr())).toEqual(["generator.lr", "discriminator.baseLr", "discriminator.lr"]);
  expect(dict.getMomentum()).toEqual({ "generator.momentum": [0], "discriminator.momentum": [0.9, 0.5] });
});

test("metrics are by name", async () => {
  const { dict } = both();
  dict.get("generator").step();
  expect(await dict.readMetrics()).toEqual({
    generator: { lossScale: 1, steps: 1, skipped: 0 },
    discriminator: { lossScale: 1, steps: 0, skipped: 0 },
  });
});

test("what two devices report at once is told of both, with their names", async () => {
  const failing = (error: OptimError): FakeWrapper =>
    new FakeWrapper({ groups: [{ lr: 1 }], fails: { phase: "readMetrics", how: "rejects", error } });
  const error = await refusal(() =>
    new OptimWrapperDict({
      generator: failing(new OptimError("non-finite-gradient", "step")),
      fine: both().generator,
      discriminator: failing(new OptimError("device-lost", "device")),
    }).readMetrics(),
  );
  expect(error.code).toBe("non-finite-gradient");
  expect(error.message).toBe("generator.step\ndiscriminator.device");
});

test("one status for all does nothing, so that a loop can hold a wrapper or a dict", () => {
  const { dict, generator, discriminator } = both();
  for (const optim of [dict, generator]) optim.initializeCountStatus({ initCounts: 0, maxCounts: 7 });
  expect(generator.status).toEqual({ initCounts: 0, maxCounts: 7 });
  expect(discriminator.status).toBeUndefined();
});

test("a status by name initializes those that are named", () => {
  const { dict, generator, discriminator } = both();
  dict.initializeCountStatus({ discriminator: { maxCounts: 1000 } });
  expect(discriminator.status).toEqual({ maxCounts: 1000 });
  expect(generator.status).toBeUndefined();
});

test("a status with an unknown name changes nothing", async () => {
  const { dict, generator } = both();
  const status = { generator: { maxCounts: 10 }, critic: { maxCounts: 10 } };
  expect((await refusal(() => dict.initializeCountStatus(status))).code).toBe("unknown-name");
  expect(generator.status).toBeUndefined();
});

test.each(["updateParams", "backward", "step", "optimContext"] as const)(
  "%s is a wrapper's: the error names the wrappers",
  async (method) => {
    const { dict, generator, discriminator } = both();
    const untyped = dict as unknown as Record<typeof method, (run: () => number) => unknown>;
    let ran = false;
    const error = await refusal(() => untyped[method](() => Number((ran = true))));
    expect(error.code).toBe("ambiguous-wrapper");
    expect(error.message).toContain(`get(name).${method}`);
    expect(error.message).toContain("generator, discriminator");
    expect(ran).toBe(false);
    expect([generator.innerCount, discriminator.innerCount, generator.steps]).toEqual([0, 0, 0]);
  },
);
