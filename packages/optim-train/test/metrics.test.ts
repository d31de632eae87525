import { buildOptimWrapperDict } from "@mm/optim-config";
import { createOptimWrapper } from "@mm/optim-core";
import { adam, sgd } from "@mm/optim-rules";
import {
  collectMetrics,
  csvLines,
  jsonLines,
  type Metrics,
  type MetricsSink,
  smoothed,
  textLines,
} from "@mm/optim-train";
import { wasmOptimizer } from "@mm/optim-wasm";
import { describe, expect, test } from "vitest";
import { thrownBy } from "../../../test-support/refusal.ts";

const parts = { optimizer: wasmOptimizer, rules: { adam, sgd } };
const model = () => ({
  "a.w": Float32Array.of(0, 0),
  "a.bias": Float32Array.of(0),
  "b.w": Float32Array.of(0),
});

function build() {
  return buildOptimWrapperDict(
    model(),
    {
      wrappers: {
        a: {
          optimizer: { type: "sgd", lr: 0.5, momentum: 0.9 },
          gradNorm: true,
          paramwise: { biasLrMult: 2 },
        },
        b: { optimizer: { type: "adam", lr: 0.25, betas: [0.5, 0.9] }, lossScale: { initScale: 8 } },
      },
    },
    parts,
  );
}

describe("collectMetrics", () => {
  test("is one flat record for all wrappers", async () => {
    const optim = build();
    optim.get("a").updateParams(({ grad }) => {
      grad("w").set([3, 4]);
      return 0;
    });
    optim.get("b").updateParams(({ grad }) => {
      grad("w").set([Number.POSITIVE_INFINITY]);
      return 0;
    });
    expect(await collectMetrics(optim)).toEqual({
      // Several groups: the base rate, which biasLrMult does not change.
      "a.lr": 0.5,
      "a.momentum": 0.9,
      "a.gradNorm": 5, // √(3² + 4²)
      "a.lossScale": 1,
      "a.steps": 1,
      "a.skipped": 0,
      "b.lr": 0.25,
      "b.momentum": 0.5,
      "b.lossScale": 4, // 8 × 0.5: the overflow skipped the step
      "b.steps": 0,
      "b.skipped": 1,
    });
    const {
      "a.lr[w]": ofGroup,
      "a.lr[bias]": ofBias,
      "b.lr[0]": ofOther,
    } = await collectMetrics(optim, { groups: true });
    expect([ofGroup, ofBias, ofOther]).toEqual([0.5, 1, 0.25]);
    expect(await collectMetrics(optim, { per: "parameter" })).toMatchObject({
      "a.gradNorm": 5,
      "a.gradNorm[w]": 5, // and none of the bias, which has no gradient
      "b.gradNorm[w]": Infinity,
    });
    optim.dispose();
  });

  test("of one wrapper, without a name", async () => {
    const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 0.5 }), { w: Float32Array.of(1) }));
    expect(await collectMetrics(optim)).toEqual({ lr: 0.5, momentum: 0, lossScale: 1, steps: 0, skipped: 0 });
    expect(await collectMetrics([["main", optim]], { groups: true })).toEqual({
      "main.lr": 0.5,
      "main.lr[0]": 0.5,
      "main.momentum": 0,
      "main.lossScale": 1,
      "main.steps": 0,
      "main.skipped": 0,
    });
    optim.dispose();
  });

  test("tells of all wrappers whose reads reject", async () => {
    const optim = build();
    optim.dispose();
    await expect(collectMetrics(optim)).rejects.toThrow(/^a\..*disposed.*\nb\..*disposed/s);
    await expect(collectMetrics(3 as never)).rejects.toMatchObject({ code: "invalid-wrapper" });
  });

  test("is as of the call", async () => {
    const optim = createOptimWrapper(wasmOptimizer(sgd({ lr: 0.5 }), { w: Float32Array.of(1) }));
    const collecting = collectMetrics([["main", optim]]);
    optim.paramGroups[0].lr = 9;
    expect((await collecting)["main.lr"]).toBe(0.5);
    optim.dispose();
  });
});

describe("sinks", () => {
  const metrics: Metrics = { "a.lr": 2e-4, "a.lr[w]": 0.5, "a.gradNorm": 1.23456789, "a.skipped": 3 };
  const written = (sink: (write: (line: string) => void) => MetricsSink): string[] => {
    const lines: string[] = [];
    const write = sink((line) => lines.push(line));
    void write(10, metrics);
    void write(20, { "a.lr": 1e-4, "a.gradNorm": Number.NaN, "x,y": 1 });
    return lines;
  };

  test("lines of text", () => {
    expect(written(textLines)).toEqual([
      "10  a.lr 2.0000e-4  a.lr[w] 5.0000e-1  a.gradNorm 1.2346  a.skipped 3",
      "20  a.lr 1.0000e-4  a.gradNorm NaN  x,y 1",
    ]);
  });

  test("JSON lines, which give the numbers back", () => {
    const lines = written(jsonLines);
    expect(lines).toEqual([
      '{"step":10,"a.lr":0.0002,"a.lr[w]":0.5,"a.gradNorm":1.23456789,"a.skipped":3}',
      '{"step":20,"a.lr":0.0001,"a.gradNorm":"NaN","x,y":1}',
    ]);
    const read = JSON.parse(lines[1] as string) as Record<string, unknown>;
    expect(Number(read["a.gradNorm"])).toBeNaN();
  });

  test("comma-separated values, of the columns that were chosen", () => {
    expect(written((write) => csvLines(write, ["a.lr", "a.skipped", "x,y", 'the "norm"']))).toEqual([
      'step,a.lr,a.skipped,"x,y","the ""norm"""',
      "10,0.0002,3,,",
      "20,0.0001,,1,",
    ]);
  });

  test("means of the losses, for a sink of people; what it gives is waited for", async () => {
    const seen: (readonly [number, Metrics, unknown])[] = [];
    const inner: MetricsSink = (step, numbers, run) => {
      seen.push([step, numbers, run]);
      return Promise.resolve();
    };
    const sink = smoothed(inner, 2);
    const run = { until: 9, began: 0, iteration: 1, seconds: 0 };
    for (const [step, loss] of [1, 3, 7].entries()) {
      expect(sink(step, { "a.loss": loss, loss: 2 * loss, lossScale: loss }, run)).toBeInstanceOf(Promise);
    }
    // 1; (1 + 3) ÷ 2; (3 + 7) ÷ 2
    expect(seen.map(([step, numbers]) => [step, numbers])).toEqual([
      [0, { "a.loss": 1, loss: 2, lossScale: 1 }],
      [1, { "a.loss": 2, loss: 4, lossScale: 3 }],
      [2, { "a.loss": 5, loss: 10, lossScale: 7 }],
    ]);
    expect(seen[0]?.[2]).toBe(run);
    const all: Metrics[] = [];
    const every = smoothed((_, numbers) => void all.push(numbers), 2, /./gu);
    for (const value of [1, 3, 7]) void every(0, { value });
    expect(all).toEqual([{ value: 1 }, { value: 2 }, { value: 5 }]);
    expect(thrownBy(() => smoothed(inner, 0)).code).toBe("invalid-option");
  });
});
