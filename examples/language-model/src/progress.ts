import type { Metrics, MetricsSink } from "@mm/optim-train";
import { Presets, SingleBar } from "cli-progress";
import type { Sample } from "./train.ts";

/** Tells a person how a training goes. */
export interface Progress {
  readonly sink: MetricsSink;
  sample(sample: Sample): void;
  /** Call it before anything else is printed. */
  stop(): void;
}

/** A bar in a terminal; elsewhere about fifteen lines, the first as soon as there is a pace. Texts are printed as they are written. */
export function createProgress(
  output: NodeJS.WriteStream,
  title: string,
  iterations: number,
  tokens: number,
): Progress {
  const bar = output.isTTY ? createBar(output, title) : undefined;
  let known: Metrics = {};
  let next = 0;
  const stop = (): void => bar?.stop();
  return {
    sink(iteration, metrics) {
      // The validation loss comes with some lines; it stays until the next one.
      known = { ...known, ...metrics };
      const text = describe(known, tokens);
      if (bar) {
        if (!bar.isActive) bar.start(iterations, iteration, { text });
        return bar.update(iteration, { text });
      }
      const isDue = iteration >= next || metrics["validation"] !== undefined || iteration === iterations;
      if (!isDue || known["loss"] === undefined) return;
      next = iteration + Math.ceil(iterations / 12);
      output.write(`${title}  ${iteration}/${iterations}  ${text}\n`);
    },
    sample({ step, text }) {
      stop();
      output.write(`\n${title} after ${step} steps:\n${indented(text)}\n\n`);
    },
    stop,
  };
}

const createBar = (stream: NodeJS.WriteStream, title: string): SingleBar =>
  new SingleBar(
    {
      stream,
      format: `${title} {bar} {value}/{total}  {text}`,
      linewrap: false,
      hideCursor: true,
      gracefulExit: false,
      barsize: 16,
    },
    Presets.shades_classic,
  );

function describe(
  { loss, validation, bitsPerCharacter, perSecond, secondsLeft }: Metrics,
  tokens: number,
): string {
  const parts = [
    loss !== undefined && `loss ${loss.toFixed(3)}`,
    validation !== undefined && `validation ${validation.toFixed(3)}`,
    bitsPerCharacter !== undefined && `${bitsPerCharacter.toFixed(3)} bits a character`,
    perSecond !== undefined && `${Math.round(perSecond * tokens)} tokens/s`,
    secondsLeft !== undefined && `${Math.ceil(secondsLeft)} s left`,
  ];
  return parts.filter((part) => part !== false).join("  ");
}

export const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, "    ");
