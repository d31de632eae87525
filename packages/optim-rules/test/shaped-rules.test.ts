import type { UpdateRule } from "@mm/optim-core/rule";
import { adafactor, adaMuon, adamp, came, marsShampoo, muon, norMuon, sgdp } from "@mm/optim-rules";
import { describe, expect, test } from "vitest";
import { arrayOptimizer, stepWith } from "../../../test-support/array-optimizer.ts";
import { numbers } from "../../../test-support/numbers.ts";

// The formulas in float64, over [4 outputs, 3 inputs] and its transpose, against the reference. float32 rounds some twenty times a step, and an
// orthogonalized matrix is the sum of 60 rounded products a step: 5e-6 of a parameter of size 1, the tolerance of the recorded trajectories.
const tolerance = 5e-6;

type Matrix = readonly (readonly number[])[];
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => (b[0] ?? []).map((_, j) => row.reduce((sum, x, k) => sum + x * (b[k]?.[j] ?? 0), 0)));
const transposed = (a: Matrix): Matrix => (a[0] ?? []).map((_, j) => a.map((row) => row[j] ?? 0));
const map = (a: Matrix, of: (x: number, i: number, j: number) => number): number[][] =>
  a.map((row, i) => row.map((x, j) => of(x, i, j)));
const sumOf = (a: readonly number[]): number => a.reduce((sum, x) => sum + x, 0);
const rms = (a: Matrix): number => Math.sqrt(sumOf(a.flat().map((x) => x * x)) / a.flat().length);
const matrix = (data: ArrayLike<number>, cols: number): number[][] =>
  Array.from({ length: data.length / cols }, (_, i) =>
    Array.from({ length: cols }, (__, j) => data[i * cols + j] ?? 0),
  );
const rowMeans = (a: Matrix): number[] => a.map((row) => sumOf(row) / row.length);
const columnMeans = (a: Matrix): number[] => rowMeans(transposed(a));

/** Follows a rule for ten steps beside a formula, and says how far apart they end. */
function apart(
  rule: UpdateRule,
  shape: readonly [number, number],
  formula: () => (w: Matrix, g: Matrix) => Matrix,
): number {
  const [rows, cols] = shape;
  const w = Float32Array.from(numbers(rows * cols, 1));
  let expected: Matrix = matrix(w, cols);
  const optimizer = arrayOptimizer(rule, [{ params: { w }, shapes: { w: shape } }]);
  const step = formula();
  for (let t = 1; t <= 10; t += 1) {
    const gradient = [...Float32Array.from(numbers(rows * cols, 100 + t))];
    stepWith(optimizer, { w: gradient });
    expected = step(expected, matrix(gradient, cols));
  }
  return Math.max(...expected.flat().map((x, i) => Math.abs(x - (w[i] ?? NaN))));
}

function orthogonal(
  x: Matrix,
  coefficients: readonly (readonly [number, number, number])[],
  divisor: number,
): Matrix {
  const tall = x.length > (x[0]?.length ?? 0);
  let y: Matrix = map(tall ? transposed(x) : x, (e) => e / divisor);
  for (const [a, b, c] of coefficients) {
    const gram = product(y, transposed(y));
    const square = product(gram, gram);
    const change = product(
      map(gram, (e, i, j) => b * e + c * (square[i]?.[j] ?? 0)),
      y,
    );
    y = map(y, (e, i, j) => a * e + (change[i]?.[j] ?? 0));
  }
  return tall ? transposed(y) : y;
}

const shapes = [
  [4, 3],
  [3, 4],
  [1, 5],
] as const;
const jordan = Array.from({ length: 5 }, () => [3.4445, -4.775, 2.0315] as const);
const normOf = (x: Matrix): number => Math.hypot(...x.flat());

/** Muon in float64: k is the factor of the rate, `divisor` what the norm becomes. */
const muonFormula =
  (
    { lr = 0.02, momentum = 0.95, weightDecay = 0, nesterov = true },
    k: (rows: number, cols: number) => number = (r, c) => Math.sqrt(Math.max(1, r / c)),
    coefficients: readonly (readonly [number, number, number])[] = jordan,
    divisor: (norm: number) => number = (norm) => norm + 1e-7,
  ) =>
  () => {
    let m: Matrix | undefined;
    return (w: Matrix, g: Matrix): Matrix => {
      m = map(g, (x, i, j) => momentum * (m?.[i]?.[j] ?? 0) + (1 - momentum) * x);
      const u = nesterov ? map(g, (x, i, j) => (1 - momentum) * x + momentum * (m?.[i]?.[j] ?? 0)) : m;
      const o = orthogonal(u, coefficients, divisor(normOf(u)));
      const rate = lr * k(w.length, w[0]?.length ?? 0);
      return map(w, (x, i, j) => x * (1 - lr * weightDecay) - rate * (o[i]?.[j] ?? 0));
    };
  };

describe.each(shapes)("Muon on %i × %i", (rows, cols) => {
  test("as Keller Jordan's, decay included", () => {
    const h = { lr: 0.05, weightDecay: 0.1 };
    expect(apart(muon(h), [rows, cols], muonFormula(h))).toBeLessThan(tolerance);
  });
  test("without Nesterov, as large as AdamW's steps, other coefficients and divisor", () => {
    const quintic = [
      [4.0848, -6.8946, 2.927],
      [3.9505, -6.3029, 2.6377],
      [3.7418, -5.5913, 2.3037],
    ] as const;
    const options = {
      coefficients: "quintic",
      steps: 3,
      scale: "matchRmsAdamW",
      divisor: "max",
      safety: 1.01,
    } as const;
    const h = { nesterov: false, momentum: 0.8 };
    const k = (r: number, c: number): number => 0.2 * Math.sqrt(Math.max(r, c));
    const formula = muonFormula(h, k, quintic, (norm) => Math.max(1.01 * norm, 1e-7));
    expect(apart(muon(h, options), [rows, cols], formula)).toBeLessThan(tolerance);
  });
  test("rms to rms, and a number", () => {
    const toRms = muonFormula({}, (r, c) => Math.sqrt(r / c));
    expect(apart(muon({}, { scale: "rmsToRms" }), [rows, cols], toRms)).toBeLessThan(tolerance);
    expect(
      apart(
        muon({}, { scale: 3 }),
        [rows, cols],
        muonFormula({}, () => 3),
      ),
    ).toBeLessThan(tolerance);
  });
});

test("Muon: a gradient of zeros moves nothing but by decay, and leaves no NaN", () => {
  const w = Float32Array.of(1, 2, 3, 4);
  const optimizer = arrayOptimizer(muon({ lr: 0.5, weightDecay: 0.5 }), [
    { params: { w }, shapes: { w: [2, 2] } },
  ]);
  stepWith(optimizer, { w: [0, 0, 0, 0] });
  expect([...w]).toEqual([0.75, 1.5, 2.25, 3]);
});

test("Muon: equal options make one definition, others another; wrong ones are refused", () => {
  expect(muon({}, { steps: 3 }).definition).toBe(muon({ lr: 1 }, { steps: 3 }).definition);
  expect(muon({}, { steps: 3 }).definition).not.toBe(muon().definition);
  const refused = [
    { steps: 0 },
    { coefficients: [] },
    { coefficients: "newton" },
    { scale: "rms" },
    { safety: 0.5 },
    { eps: 0 },
  ];
  for (const options of refused) expect(() => muon({}, options as never)).toThrow(/Muon: options/);
});

describe.each(shapes)("Adafactor and CAME on %i × %i", (rows, cols) => {
  test("Adafactor as PyTorch's", () => {
    const [lr, eps1, eps2, d, weightDecay] = [0.1, 2 ** -23, 1e-3, 0.5, 0.1];
    const rule = adafactor({ lr, clipThreshold: d, weightDecay });
    const formula = () => {
      let [t, r, c] = [0, Array<number>(rows).fill(0), Array<number>(cols).fill(0)];
      return (w: Matrix, g: Matrix): Matrix => {
        t += 1;
        const share = t ** -0.8;
        const squares = map(g, (x) => x * x);
        r = rowMeans(squares).map((x, i) => (r[i] ?? 0) + share * (x - (r[i] ?? 0)));
        c = columnMeans(squares).map((x, j) => (c[j] ?? 0) + share * (x - (c[j] ?? 0)));
        const mean = Math.max(sumOf(r) / rows, eps1);
        const u = map(g, (x, i, j) => x / Math.sqrt(Math.max(((r[i] ?? 0) * (c[j] ?? 0)) / mean, eps1 ** 2)));
        const rate = (Math.max(eps2, rms(w)) * Math.min(lr, 1 / Math.sqrt(t))) / Math.max(1, rms(u) / d);
        return map(w, (x, i, j) => x * (1 - lr * weightDecay) - rate * (u[i]?.[j] ?? 0));
      };
    };
    expect(apart(rule, [rows, cols], formula)).toBeLessThan(tolerance);
  });

  test("CAME as its authors'", () => {
    const [lr, weightDecay] = [0.01, 0.1];
    const formula = () => {
      const zeros = (n: number): number[] => Array<number>(n).fill(0);
      const state = { r: zeros(rows), c: zeros(cols), rr: zeros(rows), rc: zeros(cols) };
      let m: Matrix = Array.from({ length: rows }, () => zeros(cols));
      const towards = (beta: number, old: readonly number[], next: readonly number[]): number[] =>
        old.map((x, i) => beta * x + (1 - beta) * (next[i] ?? 0));
      const whitened = (x: Matrix, r: readonly number[], c: readonly number[]): Matrix =>
        map(x, (e, i, j) => e * Math.sqrt(sumOf(r) / rows / (r[i] ?? 0)) * Math.sqrt(1 / (c[j] ?? 0)));
      return (w: Matrix, g: Matrix): Matrix => {
        const q = map(g, (x) => x * x + 1e-30);
        state.r = towards(0.999, state.r, rowMeans(q));
        state.c = towards(0.999, state.c, columnMeans(q));
        const raw = whitened(g, state.r, state.c);
        const u = map(raw, (x) => x / Math.max(1, rms(raw)));
        m = map(m, (x, i, j) => 0.9 * x + 0.1 * (u[i]?.[j] ?? 0));
        const far = map(u, (x, i, j) => (x - (m[i]?.[j] ?? 0)) ** 2 + 1e-16);
        state.rr = towards(0.9999, state.rr, rowMeans(far));
        state.rc = towards(0.9999, state.rc, columnMeans(far));
        const step = whitened(m, state.rr, state.rc);
        return map(w, (x, i, j) => x * (1 - lr * weightDecay) - lr * (step[i]?.[j] ?? 0));
      };
    };
    // The authors' step has no bound: their β₃-average begins at 0, so a step is some hundred times η at first.
    expect(apart(came({ lr, weightDecay }), [rows, cols], formula)).toBeLessThan(100 * tolerance);
  });
});

test("Adafactor gives a vector a variance of its own, and its first step the length of its relative rate", async () => {
  const b = Float32Array.of(2, -2);
  const optimizer = arrayOptimizer(adafactor({ lr: 0.1 }), { b });
  stepWith(optimizer, { b: [0.5, 3] });
  // w = 1, so V = g² and u = ±1; rms(u) = 1; α = rms(θ)·min(0.1, 1) = 0.2.
  expect([...b].map((x) => Number(x.toFixed(6)))).toEqual([1.8, -2.2]);
  expect(Object.keys((await optimizer.stateDict()).params[0]?.slots ?? {})).toEqual(["variance"]);
});

describe.each(shapes)("AdaMuon and MARS-Shampoo on %i × %i", (rows, cols) => {
  const [momentum, beta2, lr] = [0.9, 0.8, 0.05];
  const formula = (toRms: boolean, nesterov: boolean) => () => {
    let [m, v, t]: [Matrix | undefined, Matrix | undefined, number] = [undefined, undefined, 0];
    return (w: Matrix, g: Matrix): Matrix => {
      t += 1;
      m = map(g, (x, i, j) => momentum * (m?.[i]?.[j] ?? 0) + (1 - momentum) * x);
      const u = nesterov ? map(g, (x, i, j) => (1 - momentum) * x + momentum * (m?.[i]?.[j] ?? 0)) : m;
      const o = orthogonal(u, jordan, normOf(u) + 1e-7);
      v = map(o, (x, i, j) => beta2 * (v?.[i]?.[j] ?? 0) + (1 - beta2) * x * x);
      const correction = toRms ? 1 - beta2 ** t : 1;
      const d = map(o, (x, i, j) => x / (Math.sqrt((v?.[i]?.[j] ?? 0) / correction) + 1e-3));
      const k = toRms ? Math.sqrt(rows / cols) : (0.2 * Math.sqrt(rows * cols)) / (normOf(d) + 1e-3);
      return map(w, (x, i, j) => x * (1 - lr * 0.1) - lr * k * (d[i]?.[j] ?? 0));
    };
  };
  const h = { lr, momentum, beta2, eps: 1e-3, weightDecay: 0.1 };

  test.each([false, true])("steps as large as AdamW's, Nesterov %j", (nesterov) => {
    const rule = adaMuon({ ...h, nesterov });
    expect(apart(rule, [rows, cols], formula(false, nesterov))).toBeLessThan(tolerance);
  });
  test("rms to rms", () => {
    const rule = adaMuon(h, { scale: "rmsToRms" });
    expect(apart(rule, [rows, cols], formula(true, false))).toBeLessThan(tolerance);
  });

  test("MARS-Shampoo", () => {
    const gamma = 0.2;
    const shampoo = () => {
      let [m, last]: [Matrix | undefined, Matrix | undefined] = [undefined, undefined];
      return (w: Matrix, g: Matrix): Matrix => {
        const c = map(
          g,
          (x, i, j) => x + ((gamma * momentum) / (1 - momentum)) * (x - (last?.[i]?.[j] ?? 0)),
        );
        const size = Math.max(1, normOf(c));
        m = map(c, (x, i, j) => momentum * (m?.[i]?.[j] ?? 0) + ((1 - momentum) * x) / size);
        last = g;
        const u = map(m, (x) => x / (1 - momentum));
        const o = orthogonal(u, jordan, normOf(u) + 1e-8);
        const k = lr * Math.sqrt(Math.max(1, rows / cols));
        return map(w, (x, i, j) => x * (1 - lr * 0.1) - k * (o[i]?.[j] ?? 0));
      };
    };
    const rule = marsShampoo({ lr, momentum, gamma, weightDecay: 0.1 });
    expect(apart(rule, [rows, cols], shampoo)).toBeLessThan(tolerance);
  });
});

describe.each(shapes)("NorMuon on %i × %i", (rows, cols) => {
  const [momentum, beta2, lr, eps] = [0.9, 0.8, 0.05, 1e-3];
  const formula = (asAdamw: boolean, nesterov: boolean) => () => {
    let m: Matrix | undefined;
    let v = Array<number>(rows).fill(0);
    return (w: Matrix, g: Matrix): Matrix => {
      m = map(g, (x, i, j) => momentum * (m?.[i]?.[j] ?? 0) + (1 - momentum) * x);
      const u = nesterov ? map(g, (x, i, j) => (1 - momentum) * x + momentum * (m?.[i]?.[j] ?? 0)) : m;
      const o = orthogonal(u, jordan, normOf(u) + 1e-7);
      v = rowMeans(map(o, (x) => x * x)).map((x, i) => beta2 * (v[i] ?? 0) + (1 - beta2) * x);
      const d = map(o, (x, i) => x / (Math.sqrt(v[i] ?? 0) + eps));
      const muons = normOf(o) * Math.sqrt(Math.max(1, rows / cols));
      const k = (asAdamw ? 0.2 * Math.sqrt(rows * cols) : muons) / (normOf(d) + eps);
      return map(w, (x, i, j) => x * (1 - lr * 0.1) - lr * k * (d[i]?.[j] ?? 0));
    };
  };
  const h = { lr, momentum, beta2, eps, weightDecay: 0.1 };

  test("as the authors' code, and without Nesterov's momentum", () => {
    expect(apart(norMuon(h), [rows, cols], formula(false, true))).toBeLessThan(tolerance);
    const plain = norMuon({ ...h, nesterov: false });
    expect(apart(plain, [rows, cols], formula(false, false))).toBeLessThan(tolerance);
  });
  test("as the paper's algorithm: steps as large as AdamW's", () => {
    const rule = norMuon({ ...h, nesterov: false }, { scale: "matchRmsAdamW" });
    expect(apart(rule, [rows, cols], formula(true, false))).toBeLessThan(tolerance);
  });
});

test("NorMuon: every output moves as far, however small its gradient, and one without a gradient stays", async () => {
  const w = new Float32Array(6);
  // Two outputs that are orthogonal, one a thousand times the other, and a third of zeros.
  const optimizer = arrayOptimizer(norMuon({ lr: 0.1, momentum: 0 }), [
    { params: { w }, shapes: { w: [3, 2] } },
  ]);
  stepWith(optimizer, { w: [1000, 0, 0, 1, 0, 0] });
  const [large, , , small] = w as unknown as [number, number, number, number];
  // o = diag(a, b), v = 0.05·(a²/2, b²/2): d = √40·(1, 1), so both are −0.1·√(a² + b²)·√(3/2)/√2.
  expect(small).toBeCloseTo(large, 5);
  expect(large).toBeLessThan(-0.05);
  expect([...w].map((x) => x !== 0)).toEqual([true, false, false, true, false, false]);
  const { momentumBuffer, secondMomentumBuffer } = (await optimizer.stateDict()).params[0]?.slots ?? {};
  expect([momentumBuffer?.length, secondMomentumBuffer?.length]).toEqual([6, 3]);
});

test("NorMuon refuses an ε of 0, which would divide 0 by 0, and a scale that it does not have", () => {
  expect(() => norMuon({ eps: 0 })).toThrow(/eps above 0/);
  expect(() => norMuon({}, { scale: "rmsToRms" as never })).toThrow(/NorMuon: options.*scale/);
});

test("AdaMuon refuses a scale that it does not have", () => {
  expect(() => adaMuon({}, { scale: "original" as never })).toThrow(/AdaMuon: options.*scale/);
});

describe.each(shapes)("AdamP and SGDP on %i × %i", (rows, cols) => {
  const dot = (a: readonly number[], b: readonly number[]): number =>
    sumOf(a.map((x, i) => x * (b[i] ?? NaN)));
  const size = (a: readonly number[]): number => Math.sqrt(dot(a, a));
  /** The projection, view by view as the authors write it; and the ratio of the decay. */
  function project(w: Matrix, g: Matrix, u: Matrix, delta: number, cautious = false): [Matrix, number] {
    const masked = (x: Matrix, by: Matrix): Matrix => {
      const stays = map(x, (e, i, j) => Number(e * (by[i]?.[j] ?? 0) > 0));
      const share = Math.max(sumOf(stays.flat()) / (rows * cols), 1e-3);
      return map(x, (e, i, j) => (e * (stays[i]?.[j] ?? 0)) / share);
    };
    for (const view of [(x: Matrix) => x, (x: Matrix) => [x.flat()]]) {
      const [p, q] = [view(w), view(g)];
      const cosines = p.map((row, i) => Math.abs(dot(row, q[i] ?? [])) / (size(row) * size(q[i] ?? [])));
      if (Math.max(...cosines) >= delta / Math.sqrt(p[0]?.length ?? 1)) continue;
      const away = (x: Matrix): Matrix =>
        x.map((row, i) => {
          const n = (p[i] ?? []).map((e) => e / (size(p[i] ?? []) + 1e-3));
          return row.map((e, j) => e - (n[j] ?? 0) * dot(n, row));
        });
      const once = away(view(u));
      const found = cautious ? away(masked(once, away(q))) : once;
      return [map(w, (_, i, j) => found.flat()[i * cols + j] ?? NaN), 0.2];
    }
    return [cautious ? masked(u, g) : u, 1];
  }
  // Never, by the tensor now and then, by the rows.
  const deltas = [0, 0.6, 10];
  const lr = 0.05;

  test.each(deltas.flatMap((delta) => [false, true].map((option) => [delta, option] as const)))(
    "AdamP with δ = %f, Nesterov and cautious %j",
    (delta, option) => {
      const formula = () => {
        let [m, v, t]: [Matrix | undefined, Matrix | undefined, number] = [undefined, undefined, 0];
        return (w: Matrix, g: Matrix): Matrix => {
          t += 1;
          m = map(g, (x, i, j) => 0.9 * (m?.[i]?.[j] ?? 0) + 0.1 * x);
          v = map(g, (x, i, j) => 0.8 * (v?.[i]?.[j] ?? 0) + 0.2 * x * x);
          const plain = map(g, (x, i, j) => {
            const top = option ? 0.9 * (m?.[i]?.[j] ?? 0) + 0.1 * x : (m?.[i]?.[j] ?? 0);
            return top / (Math.sqrt((v?.[i]?.[j] ?? 0) / (1 - 0.8 ** t)) + 1e-3);
          });
          const [u, ratio] = project(w, g, plain, delta, option);
          return map(w, (x, i, j) => x * (1 - lr * 0.1 * ratio) - (lr / (1 - 0.9 ** t)) * (u[i]?.[j] ?? 0));
        };
      };
      const rule = adamp({
        lr,
        betas: [0.9, 0.8],
        eps: 1e-3,
        weightDecay: 0.1,
        delta,
        wdRatio: 0.2,
        nesterov: option,
        cautious: option,
      });
      expect(apart(rule, [rows, cols], formula)).toBeLessThan(tolerance);
    },
  );

  test.each(deltas.flatMap((delta) => [false, true].map((nesterov) => [delta, nesterov] as const)))(
    "SGDP with δ = %f, Nesterov %j",
    (delta, nesterov) => {
      const formula = () => {
        let b: Matrix | undefined;
        return (w: Matrix, g: Matrix): Matrix => {
          b = map(g, (x, i, j) => 0.9 * (b?.[i]?.[j] ?? 0) + 0.7 * x);
          const plain = nesterov ? map(g, (x, i, j) => x + 0.9 * (b?.[i]?.[j] ?? 0)) : b;
          const [u, ratio] = project(w, g, plain, delta);
          if (!nesterov) b = u;
          return map(w, (x, i, j) => x * (1 - (lr * 0.1 * ratio) / (1 - 0.9)) - lr * (u[i]?.[j] ?? 0));
        };
      };
      const rule = sgdp({
        lr,
        momentum: 0.9,
        dampening: 0.3,
        weightDecay: 0.1,
        eps: 1e-3,
        delta,
        wdRatio: 0.2,
        nesterov,
      });
      expect(apart(rule, [rows, cols], formula)).toBeLessThan(tolerance);
    },
  );
});

test("AdamP and SGDP do not project a vector", () => {
  for (const rule of [adamp({ lr: 1, delta: 10, betas: [0, 0] }), sgdp({ lr: 1, delta: 10 })]) {
    const b = Float32Array.of(1, 1);
    stepWith(arrayOptimizer(rule as UpdateRule, { b }), { b: [0.5, 0.5] });
    // Along the weights, and all of it: AdamP's quotient is 1.
    expect(b[0]).toBeCloseTo(rule.name === "SGDP" ? 0.5 : 0, 5);
  }
});
