import type { LossScale, LossScalerStateDict } from "@mm/optim-core";
import type { LossClosure } from "@mm/optim-conformance";
import { Checks } from "../checks.ts";
import type { ScalerCase, TorchOptions } from "../format.ts";
import { type Bench, RecordedSubject } from "../subject.ts";
import { lossScaleOf } from "../torch.ts";

/** PyTorch's `GradScaler`: one step and one `update()` a row, with a gradient that overflows where the recording had one. */
export async function runScaler<P, Loss extends LossClosure, LossValue>(
  recorded: ScalerCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  const { config, newScale, columns, rows, initialState, finalState } = recorded;
  const checks = new Checks();
  const init = { w: { shape: [1], data: [0] } };
  const subject = new RecordedSubject(bench, { type: "SGD", args: { lr: 1 } }, [{ params: ["w"] }], init);
  const { optimizer } = subject;
  const lossScaler = optimizer.createLossScaler(lossScaleOf(config) as LossScale);
  compareScaler(checks, "initialState", await lossScaler.stateDict(), initialState);

  const step = (found: boolean): void => {
    // Small enough for any scale that float32 has.
    optimizer.backward(subject.loss({ w: [found ? "Infinity" : 1e-38] }), { lossScaler });
    optimizer.step({ lossScaler });
    lossScaler.update(newScale ?? undefined);
    optimizer.zeroGrad();
  };
  for (let done = 0; done < rowsBefore(recorded); done += 1) step(false);
  for (const [index, row] of rows.entries()) {
    const value = (column: string): number => row[columns.indexOf(column)] as number;
    const before = await optimizer.readMetrics(lossScaler);
    step(value("foundInf") === 1);
    const after = await optimizer.readMetrics(lossScaler);
    checks.exact(`rows[${index}].stepped`, after.steps - before.steps, value("stepped"));
    checks.exact32(`rows[${index}].scale`, after.lossScale, value("scale"));
    const { growthTracker } = await lossScaler.stateDict();
    checks.exact(`rows[${index}].growthTracker`, growthTracker, value("growthTracker"));
  }
  compareScaler(checks, "finalState", await lossScaler.stateDict(), finalState);
  optimizer.dispose();
  lossScaler.dispose();
  subject.dispose();
  return checks;
}

/** Of a long clean run only the end is recorded: how many clean updates its first row presupposes. */
function rowsBefore({ columns, rows, config, newScale }: ScalerCase): number {
  const first = (column: string): number => rows[0]?.[columns.indexOf(column)] ?? 0;
  if (first("foundInf") === 1 || newScale !== null) return 0;
  const tracker = first("growthTracker");
  return (tracker > 0 ? tracker : Number(config["growth_interval"] ?? 2000)) - 1;
}

export function compareScaler(
  checks: Checks,
  at: string,
  state: LossScalerStateDict,
  recorded: TorchOptions,
): void {
  checks.exact32(`${at}.scale`, state.scale, Number(recorded["scale"]));
  checks.exact(`${at}._growth_tracker`, state.growthTracker, recorded["_growth_tracker"]);
  checks.exact(`${at}.growth_factor`, state.growthFactor, recorded["growth_factor"]);
  checks.exact(`${at}.backoff_factor`, state.backoffFactor, recorded["backoff_factor"]);
  checks.exact(`${at}.growth_interval`, state.growthInterval, recorded["growth_interval"]);
}
