import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { MetricsLine } from "@mm/optim-train/node";
import { renderPng } from "./png.ts";

const networks = [
  { name: "generator", color: "#1f6fb4" },
  { name: "discriminator", color: "#d1620c" },
] as const;

/** Losses above, gradient norms before clipping below, over iterations. */
export function drawLosses(history: readonly MetricsLine[]): Promise<Uint8Array> {
  use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: 760, height: 520 });
  const panels = [
    { title: "Loss", of: "loss", top: 56, type: "value" },
    { title: "Gradient norm", of: "gradNorm", top: 308, type: "log" },
  ] as const;
  const last = history.at(-1)?.step ?? 1;
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "DejaVu Sans" },
    color: networks.map(({ color }) => color),
    legend: {
      top: 8,
      right: 40,
      data: networks.map(({ name }) => name),
      icon: "roundRect",
      itemHeight: 4,
      itemGap: 32,
    },
    title: panels.map(({ title, top }) => ({
      text: title,
      left: 12,
      top: top - 40,
      textStyle: { fontSize: 14 },
    })),
    grid: panels.map(({ top }) => ({ top, left: 64, right: 24, height: 170 })),
    xAxis: panels.map((_, gridIndex) => ({
      type: "value",
      gridIndex,
      max: last,
      ...(gridIndex === 1 && { name: "iteration", nameLocation: "middle", nameGap: 26 }),
    })),
    yAxis: panels.map(({ type }, gridIndex) => ({ type, gridIndex, scale: true })),
    series: panels.flatMap(({ of }, index) =>
      networks.map(({ name }) => ({
        type: "line",
        name,
        xAxisIndex: index,
        yAxisIndex: index,
        showSymbol: false,
        lineStyle: { width: 1.2 },
        data: history
          .map((metrics) => [metrics.step, metrics[`${name}.${of}`]])
          .filter(([, value]) => value !== undefined && Number.isFinite(value)),
      })),
    ),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return renderPng(svg);
}
