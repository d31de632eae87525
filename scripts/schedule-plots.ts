// The pictures of docs/schedules.md: every kind of schedule, drawn from the package itself.
import {
  byEpoch,
  constant,
  cosine,
  cosineRestarts,
  custom,
  cyclic,
  exponential,
  inverseSqrt,
  linear,
  multiStep,
  oneCycle,
  oneCycleMomentum,
  polynomial,
  reduceOnPlateau,
  type Schedule,
  type ScheduleFactory,
  sequence,
  step,
  valueAt,
  warmupCosine,
  wsd,
} from "@mm/optim-schedule";
import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

/** A schedule, and the code that makes it. */
interface Coded {
  readonly code: string;
  readonly schedule: Schedule;
}

interface Line {
  readonly label: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dashed?: boolean;
}

interface Plot {
  readonly lines: readonly Line[];
  readonly x?: string;
  readonly y?: string;
  readonly log?: boolean;
  /** Where the vertical axis begins. Default 0. */
  readonly min?: number;
}

const updatesToAnEpoch = 20;

const warmup = coded(linear, { startFactor: 0.1, length: 20 });
const floors = [
  coded(cosine, { length: 80, etaMin: 0.001 }),
  coded(cosine, { length: 80, etaMinRatio: 0.01 }),
];
const inEpochs = coded(cosine, { length: 5, by: "epoch" });
const plateau = coded(reduceOnPlateau, { factor: 0.5, patience: 3, cooldown: 5 });

/** Every plot, by file name. */
const plots: Readonly<Record<string, Plot>> = {
  constant: { lines: [line(coded(constant, { factor: 0.3, length: 40 }))] },
  linear: {
    lines: [
      line(coded(linear, { startFactor: 0.1, length: 40 })),
      line(coded(linear, { startFactor: 1, endFactor: 0, length: 100 })),
    ],
  },
  step: { lines: [line(coded(step, { stepSize: 25, gamma: 0.5 }))] },
  multiStep: { lines: [line(coded(multiStep, { milestones: [40, 70, 90], gamma: 0.4 }))] },
  exponential: { lines: [line(coded(exponential, { gamma: 0.97 }))] },
  cosine: { lines: [line(coded(cosine, { length: 80 })), line(coded(cosine, { tMax: 40 }))] },
  cosineRestarts: {
    lines: [line(coded(cosineRestarts, { periods: [20, 30, 40], restartWeights: [1, 0.8, 0.6] }))],
  },
  polynomial: {
    lines: [0.5, 1, 2].map((power) => line(coded(polynomial, { length: 80, power }))),
  },
  oneCycle: {
    lines: [
      line(coded(oneCycle, { length: 100 })),
      line(coded(oneCycle, { length: 100, threePhase: true, annealStrategy: "linear" })),
    ],
  },
  oneCycleMomentum: {
    y: "momentum",
    min: 0.84,
    lines: [
      line(coded(oneCycleMomentum, { length: 100 }), 0.95, "momentum"),
      line(
        coded(oneCycleMomentum, { length: 100, threePhase: true, annealStrategy: "linear" }),
        0.95,
        "momentum",
      ),
    ],
  },
  cyclic: {
    lines: [
      line(coded(cyclic, { baseRatio: 0.1, up: 20 })),
      line(coded(cyclic, { baseRatio: 0.1, up: 5, down: 20, mode: "triangular2" })),
      line(coded(cyclic, { baseRatio: 0.1, up: 10, mode: "expRange", gamma: 0.98 })),
    ],
  },
  warmupCosine: {
    lines: [
      line(coded(warmupCosine, { warmup: 20, length: 100 })),
      line(coded(warmupCosine, { warmup: 20, length: 80, startFactor: 0.2, etaMinRatio: 0.1 })),
    ],
  },
  wsd: {
    lines: (["linear", "cosine", "sqrt"] as const).map((decayType) =>
      line(coded(wsd, { warmup: 10, length: 100, decay: 30, decayType })),
    ),
  },
  inverseSqrt: {
    lines: [line(coded(inverseSqrt, { warmup: 20 })), line(coded(inverseSqrt, { timescale: 10 }))],
  },
  sequence: {
    lines: [
      line({
        code: "sequence([exponential({ gamma: 0.97 }), cosine({ length: 60 })], [40])",
        schedule: sequence([exponential({ gamma: 0.97 }), cosine({ length: 60 })], [40]),
      }),
    ],
  },
  byEpoch: {
    x: `update, ${updatesToAnEpoch} to an epoch`,
    lines: [
      line(inEpochs),
      line({
        code: `byEpoch(${inEpochs.code}, ${updatesToAnEpoch})`,
        schedule: byEpoch(inEpochs.schedule, updatesToAnEpoch),
      }),
    ],
  },
  reduceOnPlateau: { x: "epoch", lines: underWay(plateau) },
  custom: {
    lines: [
      line({
        code: "custom((count, value) => value / Math.sqrt(1 + count / 10))",
        schedule: custom((count, value) => value / Math.sqrt(1 + count / 10)),
      }),
    ],
  },
  warmup: { lines: [line([warmup, coded(cosine, { begin: 20, length: 80 })])] },
  epochs: {
    x: `update, ${updatesToAnEpoch} to an epoch`,
    lines: [line([warmup, coded(multiStep, { milestones: [2, 4], gamma: 0.4, by: "epoch" })])],
  },
  floors: {
    y: "learning rates",
    log: true,
    lines: [0.1, 0.01].flatMap((lr) =>
      floors.map((one, index) => ({ ...line(one, lr), dashed: index === 1 })),
    ),
  },
};

/** The pictures, by file name, as SVG. */
export function drawSchedules(): ReadonlyMap<string, string> {
  use([LineChart, GridComponent, LegendComponent, SVGRenderer]);
  return new Map(Object.entries(plots).map(([name, plot]) => [`${name}.svg`, draw(plot)]));
}

function coded<O extends object>(make: ScheduleFactory<O>, options: O): Coded {
  const schedule = make(options);
  return { code: `${schedule.type}(${show(options)})`, schedule };
}

/** A value as one writes it in a program. */
function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([name, inner]) => `${name}: ${show(inner)}`)
    .join(", ")} }`;
}

/** A share of the group's own value, or, of a learning rate or a momentum, that number. */
function line(given: Coded | readonly Coded[], of?: number, name = "lr"): Line {
  const schedules = [given].flat();
  const codes = schedules.map(({ code }) => code);
  const code = Array.isArray(given) ? `[${codes.join(",\n ")}]` : codes.join("");
  const at = (updates: number): number =>
    valueAt(
      schedules.map(({ schedule }) => schedule),
      { updates, epochs: Math.floor(updates / updatesToAnEpoch) },
      of ?? 1,
    );
  return {
    label: of === undefined ? code : `${code}, ${name}: ${of}`,
    points: Array.from({ length: 101 }, (_, updates) => [updates, at(updates)]),
  };
}

/** A loss that falls, stalls, and falls again when the value does. */
function underWay({ code, schedule }: Coded): readonly Line[] {
  const losses: [number, number][] = [];
  const values: [number, number][] = [];
  let state = schedule.start;
  let loss = 1;
  for (let epoch = 0; epoch <= 60; epoch += 1) {
    const value = schedule.at(0, 1, state);
    values.push([epoch, value]);
    losses.push([epoch, loss]);
    state = schedule.observe(state, loss);
    loss = Math.max(0.1 + 0.6 * value, loss * 0.9);
  }
  return [
    { label: code, points: values },
    { label: "the loss that it is told", points: losses, dashed: true },
  ];
}

function draw({ lines, x = "update", y = "× the group's value", log = false, min = 0 }: Plot): string {
  const rows = lines.flatMap(({ label }) => label.split("\n")).length;
  const top = 28 + 20 * rows;
  const chart = init(null, null, { renderer: "svg", ssr: true, width: 720, height: 220 + top });
  const last = Math.max(...lines.flatMap(({ points }) => points.map(([at]) => at)));
  const middle = { nameLocation: "middle" };
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    color: ["#1f6fb4", "#d1620c", "#2e8540", "#7a4fa3"],
    textStyle: { fontFamily: "DejaVu Sans, Verdana, sans-serif" },
    legend: {
      orient: "vertical",
      top: 8,
      left: 56,
      itemHeight: 3,
      itemWidth: 22,
      itemGap: 3,
      icon: "roundRect",
      textStyle: { fontFamily: "DejaVu Sans Mono, Menlo, monospace", fontSize: 12, lineHeight: 17 },
    },
    grid: { top, left: 64, right: 24, bottom: 48 },
    xAxis: { ...middle, type: "value", max: last, name: x, nameGap: 26 },
    yAxis: log
      ? { ...middle, type: "log", name: y, nameGap: 46, min: 1e-4, max: 0.1 }
      : { ...middle, type: "value", name: y, nameGap: 40, min },
    series: lines.map(({ label, points, dashed = false }) => ({
      type: "line",
      name: label,
      showSymbol: false,
      // A value holds for a whole update.
      step: "end",
      lineStyle: { width: 2, type: dashed ? "dashed" : "solid" },
      data: points,
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
