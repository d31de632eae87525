import { adafactor, adamw, muon } from "@mm/optim-rules";
import { createArena, wasmOptimizer } from "@mm/optim-wasm";
import { setThreadsCount } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { type Effort, ratio, type Section, sideBySide, type Timing } from "./measure.ts";

/** Rules of matrices on the CPU: Muon against the same products by tfjs-wasm, and Adafactor against AdamW. */
export async function matrices(effort: Effort): Promise<readonly Section[]> {
  setThreadsCount(1);
  await tf.setBackend("wasm");
  const sides = effort.smoke
    ? [[4, 8] as const]
    : ([
        [128, 512],
        [256, 1024],
      ] as const);
  const sections: Section[] = [];
  for (const [rows, columns] of sides) sections.push(await muonOn(rows, columns, effort));
  sections.push(await adafactorOn(effort.smoke ? 8 : 1024, effort));
  return sections;
}

async function muonOn(rows: number, columns: number, effort: Effort): Promise<Section> {
  const step = stepOf(muon({ lr: 0.02 }), rows, columns);
  const momentum = tf.tensor2d(gradientOf(rows * columns), [rows, columns]);
  const timings = await sideBySide(
    [
      { name: "Muon", run: step.run },
      { name: "tfjs-wasm, transposed by matMul", run: () => void products(momentum, false).dispose() },
      { name: "tfjs-wasm, transposed before", run: () => void products(momentum, true).dispose() },
    ],
    effort,
  );
  momentum.dispose();
  step.dispose();
  const [, byMatMul, before] = timings as [Timing, Timing, Timing];
  const best = byMatMul.medianMs < before.medianMs ? byMatMul.name : before.name;
  return {
    title: `Muon on a matrix of ${rows} × ${columns}, CPU`,
    about:
      "A whole step of `muon()` on `@mm/optim-wasm`, momentum and decay included, against its five Newton–Schulz steps alone as products of tfjs-wasm, on one thread.",
    timings,
    ratios: [ratio(timings, best, "Muon", { atLeast: 1.4 })],
  };
}

/** x ← 3.4445x + (bA + cA²)x with A = xxᵀ, five times: the products of Muon (https://kellerjordan.github.io/posts/muon). */
function products(matrix: tf.Tensor2D, transposeBefore: boolean): tf.Tensor2D {
  return tf.tidy(() => {
    let x = tf.div<tf.Tensor2D>(matrix, tf.norm(matrix));
    for (let step = 0; step < 5; step += 1) {
      const a: tf.Tensor2D = transposeBefore ? tf.matMul(x, tf.transpose(x)) : tf.matMul(x, x, false, true);
      const b = tf.add<tf.Tensor2D>(tf.mul(a, -4.775), tf.mul(tf.matMul(a, a), 2.0315));
      x = tf.add<tf.Tensor2D>(tf.mul(x, 3.4445), tf.matMul(b, x));
    }
    return x;
  });
}

async function adafactorOn(side: number, effort: Effort): Promise<Section> {
  const factored = stepOf(adafactor(), side, side);
  const whole = stepOf(adamw(), side, side);
  const timings = await sideBySide(
    [
      { name: "Adafactor", run: factored.run },
      { name: "AdamW", run: whole.run },
    ],
    effort,
  );
  factored.dispose();
  whole.dispose();
  return {
    title: `Adafactor on a matrix of ${side} × ${side}, CPU`,
    about:
      "One step of `@mm/optim-wasm` in an arena. Adafactor keeps a number for each row and each column in place of AdamW's two numbers for each element; it has to look at the gradient twice.",
    timings,
    ratios: [ratio(timings, "Adafactor", "AdamW", { atMost: 1.8 })],
  };
}

function stepOf(
  rule: Parameters<typeof wasmOptimizer>[0],
  rows: number,
  columns: number,
): { run(): void; dispose(): void } {
  const arena = createArena({ w: [rows, columns] });
  arena.w.set(gradientOf(rows * columns));
  const optimizer = wasmOptimizer(rule, arena);
  optimizer.backward(({ grad }) => {
    grad("w").set(gradientOf(rows * columns));
    return 0;
  });
  return { run: () => void optimizer.step(), dispose: () => optimizer.dispose() };
}

const gradientOf = (length: number): Float32Array =>
  Float32Array.from({ length }, (_, index) => Math.sin(index * 0.7) + 0.1 * Math.cos(index * 0.01));
