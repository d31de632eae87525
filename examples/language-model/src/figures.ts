import { renderPng } from "@mm-examples/gan-digits/figures/png";
import type { MetricsLine } from "@mm/optim-train/node";
import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { labels } from "./labels.ts";
import type { OptimizerName } from "./settings.ts";

export interface Curve {
  readonly optimizer: OptimizerName;
  readonly accumulate: number;
  readonly lines: readonly MetricsLine[];
}

const colors: { readonly [K in OptimizerName]: string } = {
  muon: "#d1620c",
  adamw: "#1f6fb4",
  "schedule-free": "#3a8a3a",
};

/** Validation losses, with the losses of training behind them, over steps on the left and over seconds of training on the right. */
export function drawLosses(curves: readonly Curve[]): Promise<Uint8Array> {
  use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);
  const chart = init(null, null, { renderer: "svg", ssr: true, width: 860, height: 380 });
  const panels = [
    { of: (line: MetricsLine, { accumulate }: Curve) => line.step / accumulate, name: "step", left: 56 },
    { of: (line: MetricsLine) => line["seconds"], name: "seconds of training", left: 480 },
  ];
  // All begin at ln V: from there the differences at the end would not be seen.
  const losses = curves.flatMap(({ lines }) => lines.flatMap(({ validation }) => validation ?? []));
  const least = Math.floor(Math.min(...losses, 6) * 5) / 5;
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: "DejaVu Sans" },
    legend: {
      top: 8,
      right: 24,
      icon: "roundRect",
      itemHeight: 4,
      itemGap: 28,
      data: curves.map(({ optimizer }) => labels[optimizer]),
    },
    title: { text: "Validation loss, nats a token", left: 12, top: 4, textStyle: { fontSize: 14 } },
    grid: panels.map(({ left }) => ({ left, top: 52, width: 356, height: 270 })),
    xAxis: panels.map(({ name }, gridIndex) => ({
      type: "value",
      gridIndex,
      name,
      nameLocation: "middle",
      nameGap: 28,
    })),
    yAxis: panels.map((_, gridIndex) => ({
      type: "value",
      gridIndex,
      min: least,
      max: Math.min(least + 2, 6.4),
    })),
    series: panels.flatMap(({ of }, index) =>
      curves.flatMap((curve) =>
        (["loss", "validation"] as const).map((what) => ({
          type: "line",
          name: labels[curve.optimizer],
          xAxisIndex: index,
          yAxisIndex: index,
          color: colors[curve.optimizer],
          symbolSize: 5,
          clip: true,
          showSymbol: what === "validation",
          lineStyle: what === "validation" ? { width: 2 } : { width: 1, opacity: 0.25 },
          data: curve.lines.flatMap((line) => {
            const [x, y] = [of(line, curve), line[what]];
            return x !== undefined && y !== undefined && Number.isFinite(y) ? [[x, y]] : [];
          }),
        })),
      ),
    ),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return renderPng(svg);
}
