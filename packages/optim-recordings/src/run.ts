import type { LossClosure, OptimizerFactory, TestFunction } from "@mm/optim-conformance";
import { isOptimError } from "@mm/optim-core";
import { type Check, type Checks, describeError } from "./checks.ts";
import { exceptionsOf, expected, isNamedBy } from "./exceptions.ts";
import type { GoldenCase, GoldenFile, GoldenMeta } from "./format.ts";
import { runClip } from "./kinds/clip.ts";
import { runDictProbe } from "./kinds/dict-probe.ts";
import { runGan } from "./kinds/gan.ts";
import { runOptimizer } from "./kinds/optimizer.ts";
import { runParamwise } from "./kinds/paramwise.ts";
import { runRegression } from "./kinds/regression.ts";
import { runScaler } from "./kinds/scaler.ts";
import { runScheduler } from "./kinds/scheduler.ts";
import { runWrapper } from "./kinds/wrapper.ts";
import { isModern } from "./modern/format.ts";
import { runModern } from "./modern/run.ts";
import { reasonToSkip } from "./modern/skipped.ts";
import type { Bench } from "./subject.ts";
import type { RulesByName } from "./torch.ts";

export interface GoldenOptions {
  /** Rules beside ours, by the lower-cased name of their PyTorch class. */
  readonly rules?: RulesByName;
}

/** The outcome of one case on one backend. */
export interface GoldenResult {
  readonly name: string;
  readonly kind: string;
  readonly status: "passed" | "failed" | "skipped";
  /** Comparisons made. */
  readonly checks: number;
  /** The differences, a line each: the field, what was expected, what came. */
  readonly failures: readonly string[];
  /** Why it was skipped. */
  readonly reason?: string;
  /** Why it may differ from the recording: the exceptions that hold for it. */
  readonly exceptions: readonly string[];
  /** The largest |a − b| ÷ max(1, |b|). */
  readonly largestError: number;
  /** The largest |a − b| ÷ what is allowed, at most 1. */
  readonly largestShare: number;
}

export interface TestGoldenOptions<P, Loss extends LossClosure, LossValue> extends GoldenOptions {
  readonly test: TestFunction;
  readonly factory: OptimizerFactory<P, Loss, LossValue>;
  readonly file: GoldenFile;
}

/**
 * Registers a test for each case of a file with a runner.
 *
 * ```ts
 * import adam from "@mm/optim-recordings/golden/optimizer-adam.json" with { type: "json" };
 * testGolden({ test, factory, file: parseGoldenFile(adam) });
 * ```
 */
export function testGolden<P, Loss extends LossClosure, LossValue>({
  test,
  factory,
  file: { meta, cases },
  ...options
}: TestGoldenOptions<P, Loss, LossValue>): void {
  for (const recorded of cases) {
    const title = `${factory.name}: ${recorded.name}`;
    const run = async (): Promise<void> => {
      const { failures } = await runGoldenCase(recorded, meta, factory, options);
      if (failures.length > 0) throw new Error(failures.join("\n"));
    };
    const skipped = isModern(recorded, meta) && reasonToSkip(recorded) !== undefined;
    if (isRunnable(recorded) && !skipped) test(title, run);
    else test.skip?.(title, run);
  }
}

/** Runs the cases of a file one after the other. */
export async function* runGolden<P, Loss extends LossClosure, LossValue>(
  { meta, cases }: GoldenFile,
  factory: OptimizerFactory<P, Loss, LossValue>,
  options: GoldenOptions = {},
): AsyncGenerator<GoldenResult, void, undefined> {
  for (const recorded of cases) yield await runGoldenCase(recorded, meta, factory, options);
}

/** Runs one case. Never rejects: what a backend throws is a failure of the case. */
export async function runGoldenCase<P, Loss extends LossClosure, LossValue>(
  recorded: GoldenCase,
  meta: GoldenMeta,
  factory: OptimizerFactory<P, Loss, LossValue>,
  { rules = {} }: GoldenOptions = {},
): Promise<GoldenResult> {
  const { name, kind } = recorded;
  const nothing = { name, kind, checks: 0, failures: [], exceptions: [], largestError: 0, largestShare: 0 };
  if (!isRunnable(recorded)) return { ...nothing, status: "skipped", reason: `kind ${kind} is not here yet` };
  const modern = isModern(recorded, meta);
  const reason = modern ? reasonToSkip(recorded) : undefined;
  if (reason !== undefined) return { ...nothing, status: "skipped", reason };
  try {
    if (modern) return resultOf(recorded, (await runModern(recorded, { factory, rules })).list, []);
    return await judge(recorded, meta, { factory, rules });
  } catch (error) {
    const lacks = lackedOperation(error);
    if (modern && lacks !== undefined) return { ...nothing, status: "skipped", reason: lacks };
    return { ...nothing, status: "failed", failures: [describeError(error)] };
  }
}

/** Operations that a backend has not all, and slots that a device cannot bind all at once: both are refused when an optimizer is made. */
const refusals = ["operations of the", "storage buffers at once"];

/** Why a backend refuses a rule that it cannot run. */
function lackedOperation(error: unknown): string | undefined {
  const lacks =
    isOptimError(error) &&
    error.code === "unsupported" &&
    refusals.some((words) => error.message.includes(words));
  return lacks ? `${error.message} (0080-recordings-of-other-libraries)` : undefined;
}

async function judge<P, Loss extends LossClosure, LossValue>(
  recorded: GoldenCase,
  meta: GoldenMeta,
  bench: Bench<P, Loss, LossValue>,
): Promise<GoldenResult> {
  const rows = exceptionsOf(recorded, meta);
  const { list } = await runCase(expected(recorded, rows), bench);
  const failures = list.flatMap(failureOf);
  if (rows.length > 0) {
    const asRecorded = (await runCase(recorded, bench)).list.filter(({ failure }) => failure !== undefined);
    for (const row of rows) {
      if (!asRecorded.some(({ field }) => isNamedBy(row, field))) {
        failures.push(
          `${row.fields.join(", ")}: passes as recorded: no need of an exception because ${row.because}`,
        );
      }
    }
    for (const check of asRecorded) {
      if (!rows.some((row) => isNamedBy(row, check.field))) failures.push(...failureOf(check));
    }
  }
  const because = rows.map((row) => `${row.because} (${row.decision})`);
  return resultOf(recorded, list, because, failures);
}

function resultOf(
  { name, kind }: GoldenCase,
  list: readonly Check[],
  because: readonly string[],
  failures: readonly string[] = list.flatMap(failureOf),
): GoldenResult {
  return {
    name,
    kind,
    status: failures.length > 0 ? "failed" : "passed",
    checks: list.length,
    failures,
    exceptions: because,
    largestError: Math.max(0, ...list.map(({ error }) => error)),
    largestShare: Math.max(0, ...list.map(({ share }) => share)),
  };
}

type Runner<K extends GoldenCase["kind"]> = <P, Loss extends LossClosure, LossValue>(
  recorded: Extract<GoldenCase, { readonly kind: K }>,
  bench: Bench<P, Loss, LossValue>,
) => Promise<Checks>;

const runners: { readonly [K in GoldenCase["kind"]]: Runner<K> } = {
  optimizer: runOptimizer,
  optimWrapper: runWrapper,
  ampOptimWrapper: runWrapper,
  clip: runClip,
  gradScaler: runScaler,
  regression: runRegression,
  gan: runGan,
  dictProbe: runDictProbe,
  scheduler: runScheduler,
  paramwise: runParamwise,
};

function runCase<P, Loss extends LossClosure, LossValue>(
  recorded: GoldenCase,
  bench: Bench<P, Loss, LossValue>,
): Promise<Checks> {
  return (runners[recorded.kind] as Runner<typeof recorded.kind>)(recorded as never, bench);
}

/** A file may be newer than this package. */
function isRunnable({ kind }: GoldenCase): boolean {
  return Object.hasOwn(runners, kind);
}

function failureOf({ field, failure }: Check): readonly string[] {
  return failure === undefined ? [] : [`${field}: ${failure}`];
}

/** One line for a case, and up to three more for what failed. */
export function formatResult({
  name,
  status,
  checks,
  failures,
  reason,
  exceptions,
  largestError,
  largestShare,
}: GoldenResult): string {
  const title = name.padEnd(36);
  if (status === "skipped") return `skip  ${title}  ${reason ?? ""}`;
  const allowed = `largest error ${largestError.toExponential(1)}, ${(100 * largestShare).toFixed(0)} % of the tolerance`;
  const [exception, ...others] = exceptions;
  const more = others.length > 0 ? `, and ${others.length} more exceptions` : "";
  const but = exception === undefined ? "" : `; not as recorded: ${exception}${more}`;
  if (status === "passed") return `ok    ${title}  ${checks} checks, ${allowed}${but}`;
  const rest = failures.length > 3 ? [`… and ${failures.length - 3} more`] : [];
  return [`FAIL  ${title}  ${failures.length} of ${checks} checks`, ...failures.slice(0, 3), ...rest].join(
    "\n        ",
  );
}

/** The closing line for a backend. */
export function formatSummary(backend: string, results: readonly GoldenResult[]): string {
  const count = (wanted: GoldenResult["status"]): number =>
    results.filter(({ status }) => status === wanted).length;
  const largest = Math.max(0, ...results.map(({ largestError }) => largestError));
  return (
    `${backend}: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped of ` +
    `${results.length} cases, largest error ${largest.toExponential(1)}`
  );
}
