import { createOptimWrapper, type OptimWrapper } from "@mm/optim-core";
import { OptimWrapperDict } from "@mm/optim-dict";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import { compareState } from "../compare-state.ts";
import { decode, type GanCase, type GanSide } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";
import { clipGradOf } from "../torch.ts";

/**
 * A linear least-squares GAN under a dict of two wrappers: generator z·wg + bg, discriminator x·wd + bd, gradients by hand.
 */
export async function runGan<P, Loss extends LossClosure, LossValue>(
  recorded: GanCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const checks = new Checks();
  const generator = side(recorded, recorded.generator, bench);
  const discriminator = side(recorded, recorded.discriminator, bench);
  const optim = new OptimWrapperDict({ generator: generator.wrapper, discriminator: discriminator.wrapper });
  const status = { initCounts: 0, maxCounts: recorded.maxCounts };
  optim.initializeCountStatus({ generator: status, discriminator: status });
  const batch = recorded.Z.data.length / (recorded.Z.shape[0] as number);
  const [z, x] = [decode(recorded.Z.data), decode(recorded.XR.data)];
  for (const [t, row] of recorded.steps.entries()) {
    const [real, noise] = [x, z].map((all) => [...all.subarray(t * batch, (t + 1) * batch)]) as [
      number[],
      number[],
    ];
    const generated = async (): Promise<number[]> => {
      const { wg, bg } = await values(generator.wrapper, "wg", "bg");
      return noise.map((value) => value * wg + bg);
    };
    const fake = await generated();
    const before = await values(discriminator.wrapper, "wd", "bd");
    const toOne = squares(real, before.wd, before.bd, 1);
    const toZero = squares(fake, before.wd, before.bd, 0);
    checks.parameter(`steps[${t}].dLoss`, [toOne.loss + toZero.loss], [row.dLoss]);
    optim.get("discriminator").updateParams(
      discriminator.subject.loss({
        wd: [toOne.weight + toZero.weight],
        bd: [toOne.bias + toZero.bias],
      }),
    );

    const { wd, bd } = await values(discriminator.wrapper, "wd", "bd");
    const judged = squares(await generated(), wd, bd, 1);
    checks.parameter(`steps[${t}].gLoss`, [judged.loss], [row.gLoss]);
    const slopes = judged.errors.map((error) => (2 * error * wd) / batch);
    optim.get("generator").updateParams(
      generator.subject.loss({
        wg: [slopes.reduce((sum, slope, i) => sum + slope * (noise[i] as number), 0)],
        bg: [slopes.reduce((sum, slope) => sum + slope, 0)],
      }),
    );

    const after = {
      ...(await optim.get("generator").optimizer.readParameters()),
      ...(await optim.get("discriminator").optimizer.readParameters()),
    };
    for (const name of ["wg", "bg", "wd", "bd"] as const) {
      checks.parameter(`steps[${t}].${name}`, after[name], row[name]);
    }
    checks.exact(`steps[${t}].lr`, optim.getLr(), row.lr);
  }
  const { wrappers } = await optim.stateDict();
  for (const name of ["generator", "discriminator"] as const) {
    const { params } = recorded[name];
    compareState(
      checks,
      `finalStateDict.${name}`,
      wrappers[name].optimizer,
      recorded.finalStateDict[name],
      params,
    );
  }
  optim.dispose();
  generator.subject.dispose();
  discriminator.subject.dispose();
  return checks;
}

function side<P, Loss extends LossClosure, LossValue>(
  { accumulativeCounts, init }: GanCase,
  { optimizer, params, clipGrad = null as never }: GanSide,
  bench: Bench<P, Loss, LossValue>,
): {
  readonly subject: RecordedSubject<P, Loss, LossValue>;
  readonly wrapper: OptimWrapper<Loss, LossValue>;
} {
  const tensors = params.map((name) => [name, { shape: [1], data: init[name] ?? [] }] as const);
  const subject = new RecordedSubject(bench, optimizer, [{ params }], Object.fromEntries(tensors));
  const wrapper = createOptimWrapper(subject.optimizer, {
    accumulativeCounts,
    clipGrad: clipGradOf(clipGrad),
  });
  return { subject, wrapper };
}

async function values<Name extends string, Loss, LossValue>(
  { optimizer }: OptimWrapper<Loss, LossValue>,
  ...names: readonly Name[]
): Promise<Record<Name, number>> {
  const parameters = await optimizer.readParameters();
  return Object.fromEntries(names.map((name) => [name, parameters[name]?.[0]])) as Record<Name, number>;
}

/** mean((x·weight + bias − target)²) with its gradient. */
function squares(
  x: readonly number[],
  weight: number,
  bias: number,
  target: number,
): {
  readonly loss: number;
  readonly weight: number;
  readonly bias: number;
  readonly errors: readonly number[];
} {
  const errors = x.map((value) => value * weight + bias - target);
  const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / x.length;
  return {
    loss: mean(errors.map((error) => error ** 2)),
    weight: mean(errors.map((error, i) => 2 * error * (x[i] as number))),
    bias: mean(errors.map((error) => 2 * error)),
    errors,
  };
}
