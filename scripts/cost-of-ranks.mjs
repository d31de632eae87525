// The model of cost in docs/several-machines.md: what share of its time a rank computes, by the network and the number of ranks.
//
//   node scripts/cost-of-ranks.mjs           prints the table
//   node scripts/cost-of-ranks.mjs --write   writes it, and its picture, into the page
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { root } from "./workspace.mjs";

/** The assumptions about the training. */
export const assumed = { parameters: 25e6, secondsPerStep: 0.25 };

export const rankCounts = [2, 4, 8, 16, 64, 256, 1000];

/** Networks: seconds before a message arrives (alpha) and bytes a second (1 / beta). */
const networks = {
  "1 Gbit/s, TCP": { alpha: 50e-6, bandwidth: 125e6 },
  "10 Gbit/s, TCP": { alpha: 50e-6, bandwidth: 1.25e9 },
  "100 Gbit/s, RDMA": { alpha: 2e-6, bandwidth: 12.5e9 },
  "100 Mbit/s, far away": { alpha: 30e-3, bandwidth: 12.5e6 },
};

/** Rows of the table: how gradients travel, and after how many steps. */
export const ways = [
  { network: "1 Gbit/s, TCP", bytes: 4, every: 1 },
  { network: "1 Gbit/s, TCP", bytes: 2, every: 1 },
  { network: "1 Gbit/s, TCP", bytes: 4, every: 100 },
  { network: "10 Gbit/s, TCP", bytes: 4, every: 1 },
  { network: "10 Gbit/s, TCP", bytes: 2, every: 1 },
  { network: "100 Gbit/s, RDMA", bytes: 4, every: 1 },
  { network: "100 Mbit/s, far away", bytes: 4, every: 1 },
  { network: "100 Mbit/s, far away", bytes: 4, every: 500 },
];

/**
 * Seconds of one all-reduce of `bytes` over `ranks`: every rank sends and receives 2 (n − 1) / n of them, in 2 log₂ n rounds (Rabenseifner;
 * a ring has as many bytes and more rounds).
 */
export const allReduceSeconds = ({ alpha, bandwidth }, bytes, ranks) =>
  2 * Math.log2(ranks) * alpha + (2 * (ranks - 1) * bytes) / ranks / bandwidth;

/** The share of its time that a rank computes. */
export function efficiency({ network, bytes, every }, ranks) {
  const exchange = allReduceSeconds(networks[network], bytes * assumed.parameters, ranks) / every;
  return assumed.secondsPerStep / (assumed.secondsPerStep + exchange);
}

export function table() {
  const percent = (value) => `${Math.round(100 * value)} %`;
  const rows = ways.map((way) => [
    way.network,
    way.bytes === 2 ? "bfloat16" : "float32",
    way.every === 1 ? "every step" : `every ${way.every} steps`,
    ...rankCounts.map((ranks) => percent(efficiency(way, ranks))),
  ]);
  const head = ["network", "numbers", "exchanges", ...rankCounts.map((ranks) => ranks.toLocaleString("en"))];
  const rule = head.map((_, column) => (column < 3 ? "---" : "---:"));
  return [head, rule, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Lines of efficiency over the number of ranks (a logarithmic axis), as SVG. */
export function picture() {
  const [left, top, width, height] = [50, 16, 430, 240];
  const colors = ["#4269d0", "#6cc5b0", "#a463f2", "#efb118", "#9c6b4e", "#3ca951", "#ff725c", "#97bbf5"];
  const x = (ranks) => left + (width * Math.log2(ranks / 2)) / Math.log2(500);
  const y = (share) => top + height * (1 - share);
  const text = (at, words, anchor = "start") =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" text-anchor="${anchor}">${words}</text>`;
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    `<path d="M${left} ${y(share)}h${width}" stroke="#8884"/>`,
    text([left - 6, y(share) + 4], `${100 * share} %`, "end"),
  ]);
  const ticks = rankCounts.map((ranks) => text([x(ranks), top + height + 18], String(ranks), "middle"));
  const lines = ways.flatMap((way, index) => {
    const points = rankCounts.map(
      (ranks) => `${x(ranks).toFixed(1)},${y(efficiency(way, ranks)).toFixed(1)}`,
    );
    const label = `${way.network}${way.bytes === 2 ? ", bfloat16" : ""}${way.every > 1 ? `, every ${way.every}` : ""}`;
    const at = top + 14 + 22 * index;
    return [
      `<polyline points="${points.join(" ")}" fill="none" stroke="${colors[index]}" stroke-width="2"/>`,
      `<path d="M${left + width + 20} ${at - 4}h16" stroke="${colors[index]}" stroke-width="2"/>`,
      text([left + width + 42, at], label),
    ];
  });
  const caption = text([left + width / 2, top + height + 38], "ranks", "middle");
  return [
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 310" font-family="sans-serif" font-size="12" fill="#888">',
    ...grid,
    ...ticks,
    ...lines,
    caption,
    "</svg>\n",
  ].join("\n");
}

const page = join(root, "docs/several-machines.md");
export const marked = /<!-- cost: [^]*<!-- \/cost -->/;

/** The page with the table as it should be. */
export async function written() {
  const text = readFileSync(page, "utf8");
  const block = `<!-- cost: written by \`node scripts/cost-of-ranks.mjs --write\` -->\n\n${table()}\n\n<!-- /cost -->`;
  return format(text.replace(marked, block), { ...(await resolveConfig(page)), filepath: page });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--write")) {
    writeFileSync(page, await written());
    writeFileSync(join(root, "docs/images/cost-of-ranks.svg"), picture());
  } else console.log(table());
}
