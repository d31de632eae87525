// The table of docs/conformance.md: what passed, and how far from the recording.

const titles = {
  optimWrapper: "`OptimWrapper`: windows, clipping",
  ampOptimWrapper: "`AmpOptimWrapper`: loss scaling",
  clip: "clipping alone",
  gradScaler: "the loss scale alone",
  regression: "a regression",
  gan: "a GAN under a dict",
  dictProbe: "questions to a dict",
  scheduler: "schedules",
  paramwise: "options for single parameters",
};

/**
 * @param {Record<string, readonly import("@mm/optim-recordings").GoldenResult[]>} recordings by backend
 * @param {Record<string, readonly import("@mm/optim-recordings").GoldenResult[]>} ofOthers by backend
 * @param {Record<string, readonly import("./golden-backends.ts").RuleResult[]>} rules by backend
 */
export function formatTable(recordings, ofOthers, rules) {
  return [
    "# Conformance",
    "",
    "For those who ask how far numbers can be trusted. Made by `pnpm golden --table`. A cell says how many cases passed, and the largest error, |a − b| ÷ max(1, |b|).",
    "",
    "## Recorded trajectories",
    "",
    "PyTorch's optimizers and MMEngine's wrappers, as they were recorded: parameters, state, norms, counts. Tolerances, and where the",
    "recordings come from, are in [their package](../packages/optim-recordings/golden/README.md); where we mean to differ, in",
    "[its table of exceptions](../packages/optim-recordings/src/exceptions.ts).",
    "",
    ...table(recordings, rowOf, (results) => results.filter(({ status }) => status === "passed").length),
    "",
    "## Recordings of other libraries",
    "",
    "Optimizers that PyTorch 1.13 does not have, from their authors' code and from other libraries. A cell says how many passed, of how many",
    "that were not skipped; those that were are counted behind it. [Which are skipped, and why](decisions/0080-recordings-of-other-libraries.md).",
    "",
    ...table(ofOthers, rowOf, (results) => results.filter(({ status }) => status === "passed").length),
    "",
    "## Every rule beside the reference",
    "",
    "Twelve steps of every rule of `@mm/optim-rules` on each backend and on the reference. The reference is held to formulas of its own, in",
    "float64, by the tests of that package. 0 is equal to the bit.",
    "",
    ...table(
      rules,
      ({ name }) => name,
      (results) => results.filter(({ passed }) => passed).length,
    ),
    "",
  ].join("\n");
}

function table(all, rowOf, passed) {
  const backends = Object.keys(all);
  const rows = [...new Set(Object.values(all).flatMap((results) => results.map(rowOf)))];
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const cell = (results) => {
    const largest = Math.max(0, ...results.map(({ largestError }) => largestError));
    const skipped = results.filter(({ status }) => status === "skipped").length;
    const counts = `${passed(results)}/${results.length - skipped}`;
    if (skipped === results.length) return `${skipped} skipped`;
    return `${counts}, ${largest === 0 ? "0" : largest.toExponential(1)}${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  };
  return [
    line(["", ...backends]),
    line(["---", ...backends.map(() => "---")]),
    ...rows.map((row) =>
      line([row, ...backends.map((name) => cell(all[name].filter((result) => rowOf(result) === row)))]),
    ),
    line(["all", ...backends.map((name) => cell(all[name]))]),
  ];
}

/** Trajectories of optimizers by rule, the rest by kind. */
function rowOf({ kind, name }) {
  return kind === "optimizer" ? name.split("/")[0] : (titles[kind] ?? kind);
}
