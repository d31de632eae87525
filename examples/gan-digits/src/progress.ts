import { MultiBar, Presets } from "cli-progress";
import type { Metrics, NetworkMetrics } from "./metrics.ts";

/** Tells a person how training goes. */
export interface Progress {
  show(metrics: Metrics): void;
  /** Call it before anything else is printed. */
  stop(): void;
}

/** Where training stands: `first` is the iteration that this process began after. */
export interface Course {
  readonly first: number;
  readonly last: number;
}

/** Bars in a terminal; elsewhere about twenty plain lines, without control codes. */
export function createProgress(output: NodeJS.WriteStream, course: Course): Progress {
  return output.isTTY ? createBars(output, course) : createLines(output, course);
}

function createBars(stream: NodeJS.WriteStream, course: Course): Progress {
  const options = { stream, linewrap: false, hideCursor: true, gracefulExit: false, barsize: 30 };
  const bars = new MultiBar(options, Presets.shades_classic);
  const add = (format: string) =>
    bars.create(course.last, course.first, { pace: "", loss: "-", lr: "-", norm: "-" }, { format });
  const training = add("training       {bar} {value}/{total}  {pace}");
  const networks = {
    generator: add("generator      loss {loss}   lr {lr}   gradient norm {norm}"),
    discriminator: add("discriminator  loss {loss}   lr {lr}   gradient norm {norm}"),
  };
  const pace = createPace(course);
  return {
    show(metrics) {
      training.update(metrics.iteration, { pace: pace(metrics.iteration) });
      networks.generator.update(metrics.iteration, describe(metrics.generator));
      networks.discriminator.update(metrics.iteration, describe(metrics.discriminator));
    },
    stop: () => bars.stop(),
  };
}

function createLines(output: NodeJS.WriteStream, course: Course): Progress {
  const pace = createPace(course);
  const line = (name: string, { loss, lr, norm }: ReturnType<typeof describe>) =>
    `${name}: loss ${loss}, lr ${lr}, gradient norm ${norm}`;
  let next = course.first;
  return {
    show(metrics) {
      const { iteration } = metrics;
      if (iteration < next && iteration < course.last) return;
      next = iteration + Math.ceil((course.last - course.first) / 20);
      const networks = [
        line("generator", describe(metrics.generator)),
        line("discriminator", describe(metrics.discriminator)),
      ];
      output.write(`${iteration}/${course.last} | ${networks.join(" | ")} | ${pace(iteration)}\n`);
    },
    stop: () => undefined,
  };
}

/** Speed, and the time left at that speed. */
function createPace({ first, last }: Course): (iteration: number) => string {
  const began = performance.now();
  return (iteration) => {
    const perSecond = (1000 * (iteration - first)) / (performance.now() - began);
    const left = Math.ceil((last - iteration) / perSecond);
    return `${perSecond < 10 ? perSecond.toFixed(1) : perSecond.toFixed(0)} it/s, ${left < 100 ? `${left} s` : `${Math.ceil(left / 60)} min`} left`;
  };
}

function describe({ loss, lr, gradNorm }: NetworkMetrics): { loss: string; lr: string; norm: string } {
  return {
    loss: loss.toFixed(3),
    lr: String(Number(lr.toPrecision(3))),
    norm: gradNorm === undefined ? "-" : gradNorm.toPrecision(3),
  };
}
