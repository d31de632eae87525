import { LineChart } from "echarts/charts";
import { AriaComponent, GridComponent, TooltipComponent } from "echarts/components";
import { type EChartsType, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { type Side, sides } from "./choices.ts";
import type { Progress } from "./protocol.ts";

use([LineChart, GridComponent, TooltipComponent, AriaComponent, SVGRenderer]);

/** Points of a line. When there are more, every second one is dropped: a run of any length stays as light. */
const mostPoints = 400;

interface Curves {
  readonly element: HTMLElement;
  readonly output: HTMLOutputElement;
  readonly name: string;
  readonly scale: "value" | "log";
  /** One number of a report; absent where the optimizer does not tell. */
  readonly of: (progress: Progress, side: Side) => number | undefined;
}

export interface Charts {
  add(progress: Progress): void;
  clear(): void;
}

/** One chart for each set of curves: both networks over the iterations. */
export function createCharts(all: readonly Curves[]): Charts {
  const charts = all.map((curves) => {
    const chart = init(curves.element, null, { renderer: "svg" });
    new ResizeObserver(() => chart.resize()).observe(curves.element);
    return { curves, chart, lines: { generator: [] as Point[], discriminator: [] as Point[] } };
  });
  const style = (): void => charts.forEach(({ chart, curves, lines }) => draw(chart, curves, lines));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", style);
  style();
  return {
    add(progress) {
      for (const { chart, curves, lines } of charts) {
        for (const side of sides) {
          const value = curves.of(progress, side);
          const usable =
            value !== undefined && Number.isFinite(value) && (curves.scale !== "log" || value > 0);
          if (usable) lines[side].push([progress.iteration, value]);
          if (lines[side].length > mostPoints)
            lines[side] = lines[side].filter((_, place) => place % 2 === 1);
        }
        curves.output.replaceChildren(
          ...sides.map((side) => {
            const key = Object.assign(document.createElement("span"), { className: side });
            key.textContent = `${side} ${format(curves.of(progress, side))}`;
            return key;
          }),
        );
        chart.setOption({ series: sides.map((side) => ({ id: side, data: lines[side] })) });
      }
    },
    clear() {
      for (const { curves, lines } of charts) {
        lines.generator = [];
        lines.discriminator = [];
        curves.output.replaceChildren();
      }
      style();
    },
  };
}

type Point = readonly [iteration: number, value: number];

function draw(
  chart: EChartsType,
  { name, scale }: Curves,
  lines: Readonly<Record<Side, readonly Point[]>>,
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
    aria: {
      enabled: true,
      label: { description: `${name} of generator and discriminator over the iterations` },
    },
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
      scale: scale === "log",
      ...axis,
      axisLabel: { ...axis.axisLabel, formatter: (value: number) => format(value) },
    },
    series: sides.map((side) => ({
      id: side,
      name: side,
      type: "line",
      data: lines[side],
      showSymbol: false,
      color: color(side),
      lineStyle: { width: 1.5, type: side === "generator" ? "solid" : "dashed" },
    })),
  });
}

function format(value: number | undefined): string {
  if (value === undefined) return "–";
  return value !== 0 && (Math.abs(value) < 1e-2 || Math.abs(value) >= 1e4)
    ? value.toExponential(1)
    : String(Number(value.toPrecision(3)));
}
