import { checkOptions } from "./arguments.ts";
import type { LossScaler, LossScalerStateDict } from "./loss-scaler.ts";
import { migrated, wrapperMigrations } from "./migrate.ts";
import type { Optimizer } from "./optimizer.ts";
import {
  aBoolean,
  aFinite,
  anything,
  aPositive,
  checkSchema,
  integerFrom,
  oneOf,
  type Schema,
} from "./schema.ts";
import type { LoadOptions, OptimWrapperStateDict, PreparedLoad, WindowCounts } from "./state.ts";
import type { Window } from "./window.ts";

type Saveable = Pick<Optimizer<never, unknown>, "stateDict" | "prepareLoad">;

/** The state as of the call: all reads begin before the first await. */
export async function saveWrapperState(
  optimizer: Saveable,
  lossScaler: LossScaler | undefined,
  window: Window,
  pending: boolean,
): Promise<OptimWrapperStateDict> {
  const counts = window.snapshot(pending);
  const [state, scalerState] = await Promise.all([optimizer.stateDict({ pending }), lossScaler?.stateDict()]);
  return {
    format: "optim-wrapper",
    version: 1,
    optimizer: state,
    counts,
    ...(scalerState && { lossScaler: scalerState }),
  };
}

/** Checks and stages a state. Nothing of the wrapper changes before `commit()`. */
export function prepareWrapperState(
  optimizer: Saveable,
  lossScaler: LossScaler | undefined,
  window: Window,
  given: OptimWrapperStateDict,
  options: LoadOptions,
): PreparedLoad {
  checkOptions("prepareLoad", options);
  const { restore = {} } = options;
  const state = checkedState(given);
  const saved = state.lossScaler;
  const counts = window.prepareLoad(countsOf(state.counts, window), restore, hasGradients(state));
  const commitScaler = restore.lossScaler !== false && saved && lossScaler?.prepareLoad(saved);
  const changed = [...differencesOf(lossScaler, saved), ...counts.changed];
  const staged = optimizer.prepareLoad(state.optimizer, options, () => {
    if (commitScaler) commitScaler();
    counts.commit();
  });
  return {
    commit() {
      const report = staged.commit();
      return { ...report, changed: [...report.changed, ...changed] };
    },
    dispose: () => staged.dispose(),
  };
}

/** Options of a loss scaler are the program's, whatever was saved: a difference is told. */
function differencesOf(scaler: LossScaler | undefined, saved: LossScalerStateDict | undefined): string[] {
  if (scaler === undefined || saved === undefined) return scaler === saved ? [] : ["lossScaler"];
  const { initScale, dynamic, ...settings } = scaler.settings;
  const wanted = dynamic ? { dynamic, ...settings } : { dynamic, scale: Math.fround(initScale) };
  return Object.entries(wanted)
    .filter(([name, value]) => (saved as unknown as { readonly [name: string]: unknown })[name] !== value)
    .map(([name]) => `lossScaler.${name}`);
}

const hasGradients = ({ optimizer }: OptimWrapperStateDict): boolean =>
  Array.isArray((optimizer as Partial<typeof optimizer> | undefined)?.params) &&
  optimizer.params.some((parameter) => (Object(parameter) as { gradient?: unknown }).gradient !== undefined);

/** The saved form of windows before they had a divisor. */
interface OlderCounts extends Omit<WindowCounts, "weightSum" | "divisor"> {
  /** The sum of the scales of its backward calls. */
  readonly scaleSum: number;
  readonly weighted: boolean;
}

function countsOf(saved: WindowCounts | OlderCounts, window: Window): WindowCounts {
  if ("weightSum" in saved) return saved;
  const { scaleSum, weighted, ...counts } = saved;
  const length = saved.innerCount - saved.windowStart;
  if (length === 0) return { ...counts, weightSum: 0 };
  // Without weights every scale was 1 ÷ the divisor; with them the divisor is not known, and any will do.
  const divisor = weighted || scaleSum === 0 ? window.accumulativeCounts : length / scaleSum;
  return { ...counts, divisor, weightSum: scaleSum * divisor };
}

function checkedState(given: OptimWrapperStateDict): OptimWrapperStateDict {
  const state = migrated(given, wrapperMigrations);
  checkSchema("invalid-state", "state", state, stateSchema(state));
  return state;
}

const stateSchema = (state: unknown): Schema => {
  const {
    windowStart = 0,
    innerCount = 0,
    ...window
  } = Object((state as Partial<OptimWrapperStateDict> | null | undefined)?.counts) as Partial<WindowCounts>;
  return {
    fields: {
      format: oneOf("optim-wrapper"),
      version: oneOf(wrapperMigrations.length + 1),
      counts: {
        fields: {
          windowStart: integerFrom(0),
          innerCount: integerFrom(windowStart),
          // May be past: that of a wrapper whose program ends before the state that it loaded.
          "maxCounts?": integerFrom(0),
          ...("scaleSum" in window
            ? { scaleSum: aFinite, weighted: aBoolean }
            : { weightSum: aFinite, [innerCount > windowStart ? "divisor" : "divisor?"]: aPositive }),
        },
      },
      "lossScaler?": { each: anything },
    },
  };
};
