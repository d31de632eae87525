import { expectGan } from "./expectation/gan.ts";
import { expectParamwise } from "./expectation/paramwise.ts";
import { expectOptimizer } from "./expectation/training.ts";
import { clipping, expectWrapper, ours } from "./expectation/wrapper.ts";
import type {
  ClipCase,
  DictProbeCase,
  GanCase,
  GoldenMeta,
  OptimizerCase,
  ParamwiseCase,
  Probe,
  GoldenCase,
  ScalerCase,
  TorchModule,
  WrapperCase,
} from "./format.ts";

const ofMmengine = "0002-mmengine-behaviour";
const ofRecordings = "0010-recordings-that-are-not-followed";
type DecisionRecord = typeof ofMmengine | typeof ofRecordings;

/** A way in which we mean to differ from a recording. */
export interface Exception {
  /** Names of the cases that show it among the recordings of this package. It holds wherever `applies` does. */
  readonly cases: readonly string[];
  /** Fields that may differ; `*` stands for anything. All others have to be as recorded. */
  readonly fields: readonly string[];
  /** The record below docs/decisions that says why, and in short what it says. */
  readonly decision: DecisionRecord;
  readonly because: string;
  readonly applies: (recorded: GoldenCase, meta: GoldenMeta) => boolean;
  /** The case with our own numbers in those fields, computed without any code of the packages under test. */
  readonly expectation: (recorded: GoldenCase) => GoldenCase;
}

/**
 * Every difference between the recordings and us. Cases that are not in this table have to pass as they are, and those that are must not:
 * a row that is no longer needed is an error too.
 */
export const exceptions: readonly Exception[] = [
  row<OptimizerCase>(["optimizer"], {
    cases: ["nadam/torch113_single_tensor_quirk"],
    fields: ["steps[*].after.*", "finalStateDict.state.*"],
    decision: ofRecordings,
    because: "PyTorch 1.13 multiplies the momentum in twice",
    applies: ({ optimizer }, { torch }) =>
      optimizer.type === "NAdam" && optimizer.args["foreach"] !== true && torch.startsWith("1."),
    expectation: expectOptimizer,
  }),
  row<WrapperCase>(["optimWrapper", "ampOptimWrapper"], {
    // wrapper/acc_none_grads, with seeds that leave a parameter without a gradient for a whole window.
    cases: [],
    fields: ["steps[*].accumulatedGrads.*", "steps[*].logged", "steps[*].after.*", "finalStateDict*"],
    decision: ofMmengine,
    because: "a gradient that was zeroed is absent, and its parameter left alone",
    applies: (recorded, { torch }) => torch.startsWith("1.") && differs(recorded, "zeroGradients"),
    expectation: (recorded) => expectWrapper(recorded),
  }),
  row<WrapperCase>(["optimWrapper", "ampOptimWrapper"], {
    cases: ["wrapper/acc_resume_misaligned"],
    fields: [
      "steps[*].lossFactor",
      "steps[*].accumulatedGrads.*",
      "steps[*].logged",
      "steps[*].after.*",
      "finalStateDict*",
      // An overflow depends on the divisor.
      "steps[*].skipped",
      "steps[*].scaleBefore",
      "steps[*].scaleAfter",
      "steps[*].growthTrackerAfter",
    ],
    decision: ofMmengine,
    because: "the short window after a resume is divided by its own length",
    applies: (recorded) => differs(recorded, "fullDivisor"),
    expectation: (recorded) => expectWrapper(recorded),
  }),
  row<ClipCase>(["clip"], {
    cases: ["clip/overflow_sum_of_squares"],
    fields: ["totalNorm", "clipped[*]"],
    decision: ofMmengine,
    because: "finite gradients have a finite norm",
    applies: ({ totalNorm, grads }) =>
      totalNorm === "Infinity" &&
      grads.every(({ data }) => data.every((value) => Number.isFinite(Number(value)))),
    expectation(recorded) {
      const { norm, clip } = clipping(
        recorded.clipGrad,
        recorded.grads.flatMap(({ data }) => data.map(Number)),
      );
      const clipped = recorded.grads.map(({ data }) => data.map((value) => clip(Number(value))));
      return { ...recorded, totalNorm: norm as number, clipped };
    },
  }),
  row<ClipCase>(["clip"], {
    cases: ["clip/empty_list"],
    fields: ["error"],
    decision: ofRecordings,
    because: "an optimizer without parameters is refused",
    applies: ({ grads }) => grads.length === 0,
    expectation: (recorded) => ({
      ...recorded,
      error: { type: "empty-parameters", message: "no parameters" },
    }),
  }),
  row<ScalerCase>(["gradScaler"], {
    cases: ["scaler/underflow"],
    fields: ["rows[*].scale", "finalState.scale"],
    decision: ofMmengine,
    because: "a loss scale of 0 never recovers",
    applies: ({ columns, rows }) => rows.some((row) => row[columns.indexOf("scale")] === 0),
    expectation(recorded) {
      // The runner sets the smallest floor there is.
      const floor = (scale: number): number => Math.max(scale, 2 ** -149);
      const column = recorded.columns.indexOf("scale");
      return {
        ...recorded,
        rows: recorded.rows.map((row) =>
          row.map((value, index) => (index === column ? floor(value) : value)),
        ),
        finalState: { ...recorded.finalState, scale: floor(Number(recorded.finalState["scale"])) },
      };
    },
  }),
  row<GanCase>(["gan"], {
    cases: ["gan/acc1", "gan/acc3"],
    fields: [
      "steps[*].dLoss",
      "steps[*].gLoss",
      "steps[*].wg",
      "steps[*].bg",
      "steps[*].wd",
      "steps[*].bd",
      "finalStateDict.*",
    ],
    decision: ofMmengine,
    because: "a loss leaves gradients in its own wrapper only",
    applies: () => true,
    expectation: (recorded) => expectGan(recorded),
  }),
  row<ParamwiseCase>(["paramwise"], {
    cases: ["paramwise/frozen_paramwise"],
    fields: ["groups.length", "groups[*].*", "getLr.*", "getMomentum", "nParamGroupsSeenByScheduler"],
    decision: ofMmengine,
    because: "a frozen parameter is in the optimizer, with options or without",
    applies: (recorded) => !recorded.error && hasFrozen(recorded.model) && hasOptions(recorded),
    expectation: (recorded) => expectParamwise(recorded),
  }),
  row<ParamwiseCase>(["paramwise"], {
    cases: ["paramwise/flat_decay_without_wd", "paramwise/unknown_option_ignored"],
    fields: ["error"],
    decision: ofMmengine,
    because: "an option that would do nothing is refused",
    applies: ({ error, optimizer, paramwiseCfg }) =>
      !error &&
      Object.keys(paramwiseCfg ?? {}).some(
        (name) =>
          !paramwiseOptions.has(name) || (name === "flat_decay_mult" && !("weight_decay" in optimizer)),
      ),
    expectation: (recorded) => ({
      ...recorded,
      error: { type: "unknown-option", message: "refused by us" },
    }),
  }),

  // Probes of Python: what cannot be asked in TypeScript, or is answered otherwise.
  ...["inner_count", "defaults", "should_update", "should_sync", "scale_loss"].map((name) =>
    probe(name, ofRecordings, "a dict is no wrapper and has no such member", () => ({ value: null })),
  ),
  probe("repr", ofRecordings, "texts are free; the dict's names its wrappers", ({ wrappers }) => ({
    value: Object.keys(wrappers),
  })),
  probe("repr_single", ofRecordings, "a wrapper tells its rule", ({ wrappers }) => ({
    value: Object.values(wrappers)[0]?.optimizer.type,
  })),
  probe("param_groups_lengths", ofRecordings, "base settings are no group", ({ wrappers }) => ({
    value: Object.fromEntries(
      Object.entries(wrappers).map(([name, { groups }]) => [name, groups?.length ?? 1]),
    ),
  })),
  probe("nested_allowed_len", ofMmengine, "a dict in a dict is refused", () => refusal("invalid-wrapper")),
  ...["load_missing_name_is_silent", "load_empty_is_silent"].map((name) =>
    probe(name, ofMmengine, "missing names are errors", () => refusal("state-mismatch")),
  ),
  probe("load_mutates_input_base_param_settings_left", ofMmengine, "a state belongs to the caller", () => ({
    value: true,
  })),
  probe("amp_int_loss_scale", ofMmengine, "any positive number is a static scale", () => ({
    value: "optim-wrapper",
  })),
];

const paramwiseOptions: ReadonlySet<string> = /* @__PURE__ */ new Set([
  "custom_keys",
  "bias_lr_mult",
  "bias_decay_mult",
  "norm_decay_mult",
  "dwconv_decay_mult",
  "dcn_offset_lr_mult",
  "flat_decay_mult",
  "bypass_duplicate",
]);

const hasOptions = ({ paramwiseCfg }: ParamwiseCase): boolean => Object.keys(paramwiseCfg ?? {}).length > 0;

const hasFrozen = ({ params, children }: TorchModule): boolean =>
  params.some(({ requiresGrad }) => !requiresGrad) || children.some(({ module }) => hasFrozen(module));

/** The rows that hold for a case. */
export function exceptionsOf(recorded: GoldenCase, meta: GoldenMeta): readonly Exception[] {
  return exceptions.filter(({ applies }) => applies(recorded, meta));
}

/** The case as we expect it. */
export function expected(recorded: GoldenCase, rows: readonly Exception[]): GoldenCase {
  return rows.reduce((current, { expectation }) => expectation(current), recorded);
}

/** Whether a field is one that a row names. */
export function isNamedBy({ fields }: Exception, field: string): boolean {
  return fields.some((pattern) => {
    const parts = pattern.split("*").map((part) => part.replaceAll(/[.[\](){}^$|+?\\]/g, "\\$&"));
    return new RegExp(`^${parts.join(".*")}$`).test(field);
  });
}

/** A row for cases of some kinds. */
function row<C extends GoldenCase>(
  kinds: readonly C["kind"][],
  exception: Omit<Exception, "applies" | "expectation"> & {
    readonly applies: (recorded: C, meta: GoldenMeta) => boolean;
    readonly expectation: (recorded: C) => C;
  },
): Exception {
  const isOurs = (recorded: GoldenCase): recorded is C =>
    (kinds as readonly string[]).includes(recorded.kind);
  return {
    ...exception,
    applies: (recorded, meta) => isOurs(recorded) && exception.applies(recorded, meta),
    expectation: (recorded) => (isOurs(recorded) ? exception.expectation(recorded) : recorded),
  };
}

function probe(
  name: string,
  decision: DecisionRecord,
  because: string,
  answer: (recorded: DictProbeCase) => Probe,
): Exception {
  return row<DictProbeCase>(["dictProbe"], {
    cases: ["dict/probe"],
    fields: [`probes.${name}`],
    decision,
    because,
    applies: ({ probes }) => name in probes,
    expectation: (recorded) => ({ ...recorded, probes: { ...recorded.probes, [name]: answer(recorded) } }),
  });
}

function refusal(code: string): Probe {
  return { error: { type: code, message: "refused by us" } };
}

/** Whether a way of MMEngine's shows in this case at all. */
function differs(recorded: WrapperCase, way: "zeroGradients" | "fullDivisor"): boolean {
  const { steps } = expectWrapper(recorded);
  const { steps: theirs } = expectWrapper(recorded, { ...ours, [way]: true });
  return JSON.stringify(steps) !== JSON.stringify(theirs);
}
