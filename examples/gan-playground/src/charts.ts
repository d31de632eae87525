import { LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, TooltipComponent } from "echarts/components";
import { type EChartsType, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";

use([LineChart, GridComponent, TooltipComponent, AriaComponent, SVGRenderer]);

/** Points of a line. When there are more, every second one is dropped: a run of any length stays as light. */
const mostPoints = 400;

export interface Line<Progress> {
  /** Also the class of its key. */
  readonly name: string;
  /** A variable of the style. Default: the name. */
  readonly color?: string;
  readonly dashed?: boolean;
  /** Marks every number: for those that come now and then. */
  readonly marked?: boolean;
  /** One number of a report; absent where the report has none. */
  readonly of: (progress: Progress) => number | undefined;
}

export interface Curves<Progress> {
  readonly element: HTMLElement;
  readonly output: HTMLOutputElement;
  /** For those who do not see it. */
  readonly description: string;
  readonly scale: "value" | "log";
  /** Whether the axis begins where the numbers do, and not at 0. */
  readonly fitted?: boolean;
  readonly lines: readonly Line<Progress>[];
}

export interface Charts<Progress> {
  add(progress: Progress): void;
  clear(): void;
}

/** One chart for each set of curves over the iterations. */
export function createCharts<Progress extends { readonly iteration: number }>(
  all: readonly Curves<Progress>[],
): Charts<Progress> {
  const charts = all.map((curves) => {
    const chart = init(curves.element, null, { renderer: "svg" });
    new ResizeObserver(() => chart.resize()).observe(curves.element);
    return { curves, chart, points: curves.lines.map((): Point[] => []), last: curves.lines.map(() => "–") };
  });
  const style = (): void => charts.forEach(({ chart, curves, points }) => draw(chart, curves, points));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", style);
  style();
  return {
    add(progress) {
      for (const { chart, curves, points, last } of charts) {
        curves.lines.forEach((line, at) => {
          const value = line.of(progress);
          const usable =
            value !== undefined && Number.isFinite(value) && (curves.scale !== "log" || value > 0);
          if (usable) points[at]!.push([progress.iteration, value]);
          if (points[at]!.length > mostPoints) points[at] = points[at]!.filter((_, place) => place % 2 === 1);
          // A number that comes now and then stays in sight.
          if (value !== undefined || !line.marked) last[at] = format(value);
        });
        curves.output.replaceChildren(
          ...curves.lines.map(({ name, color = name }, at) => {
            const key = Object.assign(document.createElement("span"), { className: color });
            key.textContent = `${name} ${last[at]}`;
            return key;
          }),
        );
        chart.setOption({ series: curves.lines.map(({ name }, at) => ({ id: name, data: points[at] })) });
      }
    },
    clear() {
      for (const { curves, points, last } of charts) {
        points.forEach((_, at) => (points[at] = []));
        last.fill("–");
        curves.output.replaceChildren();
      }
      style();
    },
  };
}

type Point = readonly [iteration: number, value: number];

function draw<Progress>(
  chart: EChartsType,
  { description, scale, fitted = scale === "log", lines }: Curves<Progress>,
  points: readonly (readonly Point[])[],
): void {
  const css = getComputedStyle(document.documentElement);
  const color = (variable: string): string => css.getPropertyValue(`--${variable}`).trim();
  const axis = {
    axisLabel: { color: color("muted"), fontSize: 11, hideOverlap: true },
    axisLine: { lineStyle: { color: color("line") } },
    splitLine: { lineStyle: { color: color("line") } },
  };
  chart.setOption({
    animation: false,
    aria: { enabled: true, label: { description } },
    grid: { left: 52, right: 12, top: 12, bottom: 24 },
    tooltip: {
      trigger: "axis",
      valueFormatter: (value: unknown) => format(value as number),
      backgroundColor: color("panel"),
      borderColor: color("line"),
      textStyle: { color: color("ink"), fontSize: 12 },
    },
    xAxis: { type: "value", min: "dataMin", max: "dataMax", ...axis, splitLine: { show: false } },
    yAxis: {
      type: scale,
      splitNumber: 3,
      scale: fitted,
      ...axis,
      axisLabel: { ...axis.axisLabel, formatter: (value: number) => format(value) },
    },
    series: lines.map(({ name, color: variable = name, dashed = false, marked = false }, at) => ({
      id: name,
      name,
      type: "line",
      data: points[at],
      showSymbol: marked,
      symbolSize: 5,
      color: color(variable),
      lineStyle: { width: 1.5, type: dashed ? "dashed" : "solid" },
    })),
  });
}

function format(value: number | undefined): string {
  if (value === undefined) return "–";
  return value !== 0 && (Math.abs(value) < 1e-2 || Math.abs(value) >= 1e4)
    ? value.toExponential(1)
    : String(Number(value.toPrecision(3)));
}
