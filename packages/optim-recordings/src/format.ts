/**
 * The file format of recorded trajectories, version 1 (described in golden/README.md of this package). Names are PyTorch's.
 */
export interface GoldenFile {
  readonly meta: GoldenMeta;
  readonly cases: readonly GoldenCase[];
}

export interface GoldenMeta {
  /** `"1-modern"`: optimizers of other libraries, see src/modern/format.ts. */
  readonly format: 1 | "1-modern";
  /** The version that was recorded: `"1.13.1 …"`. */
  readonly torch: string;
}

/** A float32 as its shortest decimal; what JSON cannot say is a string that `Number` reads. */
export type GoldenNumber = number | "NaN" | "Infinity" | "-Infinity";
export type GoldenData = readonly GoldenNumber[];
/** By parameter name; `null` is no gradient at all. */
export type GoldenGradients = Readonly<Record<string, GoldenData | null>>;
type GoldenTensors = Readonly<Record<string, GoldenData>>;

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: GoldenData;
}

/** A value of a state dict or of the arguments of an optimizer. */
export type TorchValue = number | string | boolean | null | GoldenData | TorchTensor;

export interface TorchTensor {
  readonly tensor: GoldenData;
  readonly shape: readonly number[];
}

export type TorchOptions = Readonly<Record<string, TorchValue>>;

/** `torch.optim.Optimizer.state_dict()`, with what MMEngine's wrappers add. */
export interface TorchStateDict {
  /** By position over all groups; parameters without state are absent. */
  readonly state: Readonly<Record<string, TorchOptions>>;
  readonly param_groups: readonly TorchOptions[];
  readonly base_param_settings?: TorchOptions | null;
  readonly loss_scaler?: TorchOptions;
}

export interface TorchOptimizer {
  /** Class name in `torch.optim`. */
  readonly type: string;
  readonly args: TorchOptions;
}

export interface TorchGroup {
  readonly params: readonly string[];
  readonly options?: TorchOptions;
}

interface CaseBase {
  readonly name: string;
  readonly note?: string;
}

/** The fields of all kinds that train one optimizer on given gradients. */
export interface TrainingCase extends CaseBase {
  readonly optimizer: TorchOptimizer;
  readonly groups: readonly TorchGroup[];
  readonly init: Readonly<Record<string, GoldenTensor>>;
  readonly finalStateDict: TorchStateDict;
}

export interface OptimizerCase extends TrainingCase {
  readonly kind: "optimizer";
  readonly steps: readonly OptimizerStep[];
  readonly checkpoint?: {
    readonly beforeStep: number;
    readonly freshArgs: TorchOptions;
    readonly stateDict: TorchStateDict;
  };
}

interface OptimizerStep {
  readonly set?: readonly ({ readonly group: number } & TorchOptions)[];
  readonly grads: GoldenGradients;
  readonly after: GoldenTensors;
}

export interface WrapperCase extends TrainingCase {
  readonly kind: "optimWrapper" | "ampOptimWrapper";
  readonly accumulativeCounts: number;
  readonly clipGrad: TorchOptions | null;
  readonly initializeCountStatus?: { readonly initCounts: number; readonly maxCounts: number };
  readonly lossScale?: "dynamic" | number | TorchOptions;
  readonly steps: readonly WrapperStep[];
}

export interface WrapperStep {
  readonly grads: GoldenGradients;
  readonly shouldSyncBefore?: boolean;
  readonly innerCountBefore?: number;
  readonly innerCountAfter?: number;
  readonly lossFactor?: number;
  readonly updated?: boolean;
  readonly accumulatedGrads?: GoldenGradients;
  readonly logged?: Readonly<Record<string, GoldenNumber>>;
  readonly after?: GoldenTensors;
  readonly scaleBefore?: number;
  readonly scaleAfter?: number;
  readonly growthTrackerAfter?: number;
  readonly skipped?: boolean;
  readonly error?: TorchError;
}

interface TorchError {
  readonly type: string;
  readonly message: string;
}

export interface ClipCase extends CaseBase {
  readonly kind: "clip";
  readonly clipGrad: TorchOptions;
  readonly grads: readonly GoldenTensor[];
  readonly totalNorm?: GoldenNumber | null;
  readonly clipped: readonly GoldenData[];
  readonly error?: TorchError;
}

export interface ScalerCase extends CaseBase {
  readonly kind: "gradScaler";
  readonly config: TorchOptions;
  readonly newScale: number | null;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly number[])[];
  readonly initialState: TorchOptions;
  readonly finalState: TorchOptions;
}

export interface RegressionCase extends CaseBase {
  readonly kind: "regression";
  readonly optimizer: TorchOptimizer;
  readonly groups: readonly TorchGroup[];
  readonly accumulativeCounts: number;
  readonly maxCounts: number;
  readonly clipGrad: TorchOptions | null;
  readonly X: GoldenTensor;
  readonly Y: GoldenTensor;
  readonly init: GoldenTensors;
  readonly steps: readonly { readonly loss: number; readonly w: GoldenData; readonly b: GoldenData }[];
}

export interface GanSide {
  readonly optimizer: TorchOptimizer;
  readonly params: readonly string[];
  readonly clipGrad?: TorchOptions;
}

export interface GanCase extends CaseBase {
  readonly kind: "gan";
  readonly accumulativeCounts: number;
  readonly maxCounts: number;
  readonly generator: GanSide;
  readonly discriminator: GanSide;
  readonly Z: GoldenTensor;
  readonly XR: GoldenTensor;
  readonly init: GoldenTensors;
  readonly steps: readonly GanStep[];
  readonly finalStateDict: { readonly generator: TorchStateDict; readonly discriminator: TorchStateDict };
}

export interface GanStep {
  readonly dLoss: number;
  readonly gLoss: number;
  readonly wg: GoldenData;
  readonly bg: GoldenData;
  readonly wd: GoldenData;
  readonly bd: GoldenData;
  readonly lr: Readonly<Record<string, readonly number[]>>;
}

export interface DictProbeCase extends CaseBase {
  readonly kind: "dictProbe";
  readonly wrappers: Readonly<Record<string, ProbedWrapper>>;
  readonly probes: Readonly<Record<string, Probe>>;
}

export interface ProbedWrapper {
  readonly optimizer: TorchOptimizer;
  readonly params?: readonly (GoldenTensor & { readonly name: string })[];
  readonly groups?: readonly TorchGroup[];
  readonly accumulativeCounts?: number;
}

export type Probe =
  { readonly value: unknown } | { readonly error: { readonly type: string; readonly message: string } };

export interface SchedulerCase extends CaseBase {
  readonly kind: "scheduler";
  /** Class name in `mmengine.optim.scheduler`. */
  readonly scheduler: TorchOptimizer;
  /** `"lr"`, `"momentum"` */
  readonly param: string;
  readonly lr: number;
  readonly momentum: number;
  readonly groupLrs: readonly number[];
  /** Row k, after k calls of `step()`: one value per group, then that of the base settings. */
  readonly rows: readonly (readonly number[])[];
  readonly getLr: readonly { readonly base_lr?: readonly number[]; readonly lr: readonly number[] }[];
}

/** A module of PyTorch with its parameters; the same `id` is the same parameter. */
export interface TorchModule {
  readonly type: string;
  /** Of convolutions. */
  readonly in_channels?: number;
  readonly groups?: number;
  readonly params: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly requiresGrad: boolean;
    readonly id: number;
  }[];
  readonly children: readonly { readonly name: string; readonly module: TorchModule }[];
}

/** The groups that MMEngine's `DefaultOptimWrapperConstructor` makes of a model, or its error. */
export interface ParamwiseCase extends CaseBase {
  readonly kind: "paramwise";
  readonly model: TorchModule;
  /** `optimizer` of `optim_wrapper_cfg`: the class name, and its arguments beside it. */
  readonly optimizer: { readonly type: string } & TorchOptions;
  readonly paramwiseCfg: TorchOptions | null;
  readonly groups?: readonly {
    readonly params: readonly string[];
    readonly paramIds: readonly number[];
    readonly options: TorchOptions;
  }[];
  readonly getLr?: { readonly base_lr?: readonly number[]; readonly lr: readonly number[] };
  readonly getMomentum?: { readonly momentum: readonly number[] };
  readonly basePresent?: boolean;
  readonly nParamGroupsSeenByScheduler?: number;
  readonly error?: TorchError;
}

export type GoldenCase =
  | OptimizerCase
  | WrapperCase
  | ClipCase
  | ScalerCase
  | RegressionCase
  | GanCase
  | DictProbeCase
  | SchedulerCase
  | ParamwiseCase;

/** The numbers of a tensor. */
export function decode(data: GoldenData): Float32Array {
  return Float32Array.from(data, Number);
}

/** Reads a parsed file. @throws Error that says what is wrong with it */
export function parseGoldenFile(json: unknown): GoldenFile {
  const { meta, cases } = (json ?? {}) as Partial<GoldenFile>;
  if (meta?.format !== 1 && meta?.format !== "1-modern") {
    const received = String((meta as { readonly format?: unknown } | undefined)?.format);
    throw new Error(`golden file: expected meta.format 1 or "1-modern", got ${received}`);
  }
  if (!Array.isArray(cases)) throw new Error("golden file: expected a list `cases`");
  for (const [index, entry] of cases.entries() as IterableIterator<[number, Partial<GoldenCase> | null]>) {
    if (typeof entry?.name !== "string" || typeof entry.kind !== "string") {
      throw new Error(`golden file: cases[${index}] has no name or no kind`);
    }
  }
  return json as GoldenFile;
}
