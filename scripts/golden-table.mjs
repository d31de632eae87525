// The table of docs/conformance.md: what passed, and how far from the recording.

const titles = {
  optimWrapper: "`OptimWrapper`: windows, clipping",
  ampOptimWrapper: "`AmpOptimWrapper`: loss scaling",
  clip: "clipping alone",
  gradScaler: "the loss scale alone",
  regression: "a regression",
  gan: "a GAN under a dict",
  dictProbe: "questions to a dict",
};

/** @param {Record<string, readonly import("@mm/optim-conformance/golden").GoldenResult[]>} all results by backend */
export function formatTable(all) {
  const backends = Object.keys(all);
  const rows = [...new Set(Object.values(all).flatMap((results) => results.map(rowOf)))];
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const cell = (backend, row) => {
    const results = all[backend].filter((result) => rowOf(result) === row);
    const passed = results.filter(({ status }) => status === "passed").length;
    const largest = Math.max(0, ...results.map(({ largestError }) => largestError));
    return `${passed}/${results.length}, ${largest === 0 ? "0" : largest.toExponential(1)}`;
  };
  const total = (backend) => {
    const passed = all[backend].filter(({ status }) => status === "passed").length;
    return `${passed}/${all[backend].length}`;
  };
  return [
    "# Conformance",
    "",
    "Recorded trajectories of PyTorch and MMEngine on every backend: cases that passed, and the largest error, |a − b| ÷ max(1, |b|) of",
    "parameters, state and norms. What is allowed, and where the recordings come from, is in",
    "[the kit](../packages/optim-conformance/golden/README.md); where we mean to differ, in",
    "[its table of exceptions](../packages/optim-conformance/src/golden/exceptions.ts). Made by `pnpm golden --table`.",
    "",
    line(["", ...backends]),
    line(["---", ...backends.map(() => "---")]),
    ...rows.map((row) => line([row, ...backends.map((backend) => cell(backend, row))])),
    line(["all", ...backends.map(total)]),
    "",
  ].join("\n");
}

/** Trajectories of optimizers by rule, the rest by kind. */
function rowOf({ kind, name }) {
  return kind === "optimizer" ? name.split("/")[0] : (titles[kind] ?? kind);
}
