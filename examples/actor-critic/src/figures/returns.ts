import { LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { episodeLimit } from "../cart-pole.ts";
import { mean } from "../mean.ts";
import type { MetricsLine } from "@mm/optim-train/node";
import type { Returns } from "../train.ts";
import { renderPng } from "./png.ts";

const colors = { actor: "#1f6fb4", critic: "#d1620c", episode: "#9aa7b4" };

/** Above, the return of every episode and the mean of each iteration; below, the learning rates. Over iterations. */
export function drawReturns(history: readonly Returns[], lines: readonly MetricsLine[]): Promise<Uint8Array> {
  use([LineChart, ScatterChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: 760, height: 520 });
  const panels = [
    { title: "Return", top: 56, height: 240, max: episodeLimit },
    { title: "Learning rate", top: 366, height: 100 },
  ] as const;
  const line = { type: "line", showSymbol: false, lineStyle: { width: 1.6 } } as const;
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "DejaVu Sans" },
    legend: panels.map(({ top }, panel) => ({
      top: top - 46,
      right: 24,
      data: panel === 0 ? ["episode", "mean of an iteration"] : ["actor", "critic"],
      icon: "roundRect",
      itemHeight: 4,
      itemGap: 24,
    })),
    title: panels.map(({ title, top }) => ({
      text: title,
      left: 12,
      top: top - 44,
      textStyle: { fontSize: 14 },
    })),
    grid: panels.map(({ top, height }) => ({ top, height, left: 64, right: 24 })),
    xAxis: panels.map((_, gridIndex) => ({
      type: "value",
      gridIndex,
      max: history.at(-1)?.iteration ?? 1,
      ...(gridIndex === 1 && { name: "iteration", nameLocation: "middle", nameGap: 26 }),
    })),
    yAxis: panels.map((panel, gridIndex) => ({
      type: "value",
      gridIndex,
      ...("max" in panel && { max: panel.max }),
    })),
    series: [
      {
        type: "scatter",
        name: "episode",
        symbolSize: 3,
        itemStyle: { color: colors.episode },
        data: history.flatMap(({ iteration, returns }) => returns.map((value) => [iteration, value])),
      },
      {
        ...line,
        name: "mean of an iteration",
        color: colors.actor,
        data: history
          .filter(({ returns }) => returns.length > 0)
          .map(({ iteration, returns }) => [iteration, mean(returns)]),
      },
      ...(["actor", "critic"] as const).map((name) => ({
        ...line,
        name,
        color: colors[name],
        xAxisIndex: 1,
        yAxisIndex: 1,
        data: lines.map((metrics) => [metrics.step, metrics[`${name}.lr`]]),
      })),
    ],
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return renderPng(svg);
}
