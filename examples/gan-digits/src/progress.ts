import type { MetricsSink } from "@mm/optim-train";
import { progressLines } from "@mm/optim-train/node";
import { MultiBar, Presets } from "cli-progress";

/** Tells a person how training goes. */
export interface Progress {
  readonly sink: MetricsSink;
  /** Call it before anything else is printed. */
  stop(): void;
}

/** Bars in a terminal; elsewhere about twenty plain lines, without control codes. */
export function createProgress(output: NodeJS.WriteStream, last: number): Progress {
  if (!output.isTTY) return { sink: progressLines(), stop: () => undefined };
  const options = { stream: output, linewrap: false, hideCursor: true, gracefulExit: false, barsize: 30 };
  const bars = new MultiBar(options, Presets.shades_classic);
  const add = (format: string) =>
    bars.create(last, 0, { pace: "", loss: "-", lr: "-", norm: "-" }, { format });
  const training = add("training       {bar} {value}/{total}  {pace}");
  const networks = ["generator", "discriminator"].map((name) => ({
    name,
    bar: add(`${name.padEnd(14)} loss {loss}   lr {lr}   gradient norm {norm}`),
  }));
  return {
    sink(iteration, metrics) {
      const { perSecond = 0, secondsLeft = 0 } = metrics;
      training.update(iteration, { pace: `${perSecond.toFixed(0)} it/s, ${Math.ceil(secondsLeft)} s left` });
      for (const { name, bar } of networks) {
        const number = (of: string, digits: number) => metrics[`${name}.${of}`]?.toPrecision(digits) ?? "-";
        bar.update(iteration, { loss: number("loss", 4), lr: number("lr", 3), norm: number("gradNorm", 3) });
      }
    },
    stop: () => bars.stop(),
  };
}
