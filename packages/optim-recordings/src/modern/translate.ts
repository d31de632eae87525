import type { UpdateRule } from "@mm/optim-core/rule";
import {
  adabelief,
  adafactor,
  adaMuon,
  adamp,
  adamw,
  adamwEpsilonHat,
  adan,
  ademamix,
  adopt,
  came,
  cautious,
  dAdaptAdam,
  dAdaptSgd,
  lamb,
  laprop,
  lars,
  lion,
  mars,
  marsLion,
  marsShampoo,
  muon,
  type MuonOptions,
  nadamw,
  novograd,
  prodigy,
  scheduleFreeAdamw,
  scheduleFreeRadam,
  scheduleFreeSgd,
  sgdp,
  sgdw,
  stableAdamw,
} from "@mm/optim-rules";
import type { TorchOptions } from "../format.ts";

/** Our rule for a tensor, with hyperparameters made of what its group says over what the constructor was given. */
type Translate = (
  options: Options,
  tensor: { readonly dimensions: number; readonly shape: readonly number[]; readonly args: Options },
) => UpdateRule;

/** Values of a recording, which the rule that takes them checks. */
type Options = Readonly<Record<string, never>>;

/** By class, as recordings name them. Defaults are the authors', where they differ from ours. */
export const translations: { readonly [type: string]: Translate } = {
  "timm.optim.lion:Lion": (o) => timmCautious(o, lion(common(o))),
  "lion_pytorch:Lion": (o, { args }) => lion(luciDecay(o, args)),
  "lion_pytorch.cautious_lion:Lion": (o, { args }) => {
    const uphill = number(o, "cautious_factor", 0);
    return uphill < 1
      ? cautious(lion(luciDecay(o, args)), { uphill, floor: 1e-5 })
      : lion(luciDecay(o, args));
  },
  "c_lion:Lion": (o) => cautious(lion({ betas: [0.95, 0.98], ...common(o) })),
  "timm.optim.lamb:Lamb": (o) =>
    lamb({
      ...common(o),
      gradAveraging: flag(o, "grad_averaging", true),
      biasCorrected: flag(o, "bias_correction", true),
      trustClip: flag(o, "trust_clip"),
      alwaysAdapt: flag(o, "always_adapt"),
      decoupledWeightDecay: flag(o, "decoupled_decay"),
    }),
  "timm.optim.adan:Adan": (o) => adan({ ...common(o), noProx: flag(o, "no_prox") }),
  "timm.optim.adabelief:AdaBelief": (o) =>
    adabelief({
      ...common(o),
      rectify: flag(o, "rectify", true),
      decoupledWeightDecay: flag(o, "decoupled_decay", true),
      amsgrad: flag(o, "amsgrad"),
    }),
  "timm.optim.nadamw:NAdamW": (o) => timmCautious(o, nadamw(common(o))),
  "timm.optim.adamw:AdamWLegacy": (o) =>
    timmCautious(o, adamw({ ...common(o), amsgrad: flag(o, "amsgrad") })),
  "coptim_pkg.c_adamw:AdamW": (o) =>
    cautious(adamwEpsilonHat({ ...common(o), biasCorrected: flag(o, "correct_bias", true) }), {
      floor: 1e-3,
    }),
  "timm.optim.nvnovograd:NvNovoGrad": (o) =>
    novograd({ ...common(o), gradAveraging: flag(o, "grad_averaging"), amsgrad: flag(o, "amsgrad") }),
  "timm.optim.lars:Lars": (o) =>
    lars({
      momentum: 0,
      weightDecay: 0,
      eps: 1e-8,
      ...common(o),
      nesterov: flag(o, "nesterov"),
      trustCoefficient: number(o, "trust_coeff", 1e-3),
      trustClip: flag(o, "trust_clip"),
      alwaysAdapt: flag(o, "always_adapt"),
      lrInMomentum: false,
    }),
  "schedulefree.adamw_schedulefree:AdamWScheduleFree": (o) =>
    scheduleFreeAdamw({
      ...common(o),
      ...weighting(o),
      innerMomentum: number(o, "inner_momentum", 0),
      warmupSteps: number(o, "warmup_steps", 0),
    }),
  "schedulefree.sgd_schedulefree:SGDScheduleFree": (o) =>
    scheduleFreeSgd({ ...common(o), ...weighting(o), warmupSteps: number(o, "warmup_steps", 0) }),
  "schedulefree.radam_schedulefree:RAdamScheduleFree": (o) =>
    scheduleFreeRadam({
      ...common(o),
      ...weighting(o),
      silentSgdPhase: flag(o, "silent_sgd_phase", true),
    }),
  "keller_muon:SingleDeviceMuon": (o, { shape }) => kellerMuon(o, shape),
  "c_muon:SingleDeviceMuon": (o, { shape }) => kellerMuon(o, shape, { cautious: true }),
  "keller_muon:SingleDeviceMuonWithAuxAdam": (o, { shape }) =>
    flag(o, "use_muon")
      ? kellerMuon(o, shape)
      : adamw({ lr: 3e-4, betas: [0.9, 0.95], eps: 1e-10, weightDecay: 0, ...common(o) }),
  "torch_main:Muon": (o) =>
    muon(
      {
        lr: 1e-3,
        weightDecay: 0.1,
        momentum: 0.95,
        ...withoutEps(o),
        nesterov: flag(o, "nesterov", true),
      },
      {
        divisor: "max",
        eps: number(o, "eps", 1e-7),
        coefficients: [triple(o, "ns_coefficients") ?? [3.4445, -4.775, 2.0315]],
        steps: number(o, "ns_steps", 5),
        scale: scales[(o["adjust_lr_fn"] as string | null | undefined) ?? "original"] ?? "original",
      },
    ),
  "timm.optim.muon:Muon": (o, { shape }) => {
    const suits = flag(o, "use_muon", suitsTimm(shape)) && !flag(o, "use_fallback");
    const given = { lr: 0.02, weightDecay: 0, momentum: 0.95, ...withoutEps(o) };
    const eps = number(o, "eps", 1e-7);
    if (!suits) {
      const { momentum: _momentum, ...others } = given;
      const lr = others.lr * number(o, "fallback_lr_scale", 1);
      const rule = flag(o, "nesterov") ? nadamw : adamw;
      return rule({ ...others, lr, betas: pair(o, "betas") ?? [0.9, 0.95], eps });
    }
    const how = {
      divisor: "max",
      eps,
      coefficients: timmCoefficients(o),
      steps: number(o, "ns_steps", 5),
      safety: number(o, "safety_factor", 1),
      scale: scales[(o["adjust_lr_fn"] as string | undefined) ?? "match_rms_adamw"] ?? "matchRmsAdamW",
    } as const;
    const nesterov = flag(o, "nesterov");
    if ((o["algo"] as unknown) !== "adamuon") return muon({ ...given, nesterov }, how);
    const toRms = how.scale === "rmsToRms";
    // The sides of a kernel take the place of its rows and columns: a factor of the rate, which the decay has not.
    const [rows = 1, ...rest] = shape;
    const [cols, high = 1, wide = 1] = [rest.reduce((a, b) => a * b, 1), ...shape.slice(-2)];
    const factor = toRms ? Math.sqrt(high / wide / (rows / cols)) : Math.sqrt((high * wide) / (rows * cols));
    return adaMuon(
      {
        ...given,
        lr: given.lr * factor,
        weightDecay: given.weightDecay / factor,
        nesterov,
        eps,
        beta2: (pair(o, "betas") ?? [0.9, 0.95])[1],
      },
      { ...how, scale: toRms ? "rmsToRms" : "matchRmsAdamW" },
    );
  },
  "torch_main:Adafactor": (o) => {
    const { betas: _betas, eps: _eps, momentum: _momentum, ...others } = common(o);
    const [eps1, eps2] = (o["eps"] as readonly [number | null, number] | undefined) ?? [null, 1e-3];
    return adafactor({
      ...others,
      beta2Decay: number(o, "beta2_decay", -0.8),
      eps: [eps1 ?? 2 ** -23, eps2],
      clipThreshold: number(o, "d", 1),
    });
  },
  "hf_adafactor:Adafactor": (o) => {
    const { betas: _betas, eps: _eps, momentum: _momentum, lr, ...others } = common(o);
    const relativeStep = flag(o, "relative_step", true);
    return adafactor({
      ...others,
      // A relative step is at most 1e-2 there.
      lr: relativeStep ? 1e-2 : (lr ?? 1e-2),
      beta2Decay: number(o, "decay_rate", -0.8),
      eps: pair(o, "eps") ?? [1e-30, 1e-3],
      clipThreshold: number(o, "clip_threshold", 1),
      beta1: number(o, "beta1", 0),
      relativeStep,
      scaleParameter: flag(o, "scale_parameter", true),
      warmupInit: flag(o, "warmup_init"),
      epsInAverage: true,
      scaledDecay: true,
    });
  },
  "came_pytorch:CAME": (o) => {
    const { eps: _eps, momentum: _momentum, ...others } = common(o);
    return came({
      ...others,
      eps: pair(o, "eps") ?? [1e-30, 1e-16],
      clipThreshold: number(o, "clip_threshold", 1),
    });
  },
  "prodigyopt:Prodigy": (o) => {
    const { momentum: _momentum, ...others } = common(o);
    return prodigy({
      ...others,
      beta3: number(o, "beta3", 0),
      decoupledWeightDecay: flag(o, "decouple", true),
      biasCorrected: flag(o, "use_bias_correction"),
      safeguardWarmup: flag(o, "safeguard_warmup"),
      dCoef: number(o, "d_coef", 1),
      ...distance(o),
    });
  },
  "dadaptation:DAdaptAdam": (o) => {
    const { momentum: _momentum, ...others } = common(o);
    return dAdaptAdam({
      ...others,
      decoupledWeightDecay: flag(o, "decouple"),
      biasCorrected: flag(o, "use_bias_correction"),
      layerScale: number(o, "layer_scale", 1),
      ...distance(o),
    });
  },
  "dadaptation:DAdaptSGD": (o) => {
    const { betas: _betas, eps: _eps, ...others } = common(o);
    return dAdaptSgd({ ...others, ...distance(o) });
  },
  "timm.optim.laprop:LaProp": (o) => timmCautious(o, laprop(common(o))),
  "adamp:AdamP": adampOf,
  "timm.optim.adamp:AdamP": adampOf,
  "adamp:SGDP": (o) => {
    const { betas: _betas, ...others } = common(o);
    return sgdp({
      eps: 1e-8,
      ...others,
      dampening: number(o, "dampening", 0),
      nesterov: flag(o, "nesterov"),
      ...projecting(o),
    });
  },
  "timm.optim.sgdw:SGDW": (o) =>
    timmCautious(
      o,
      sgdw({ ...common(o), nesterov: flag(o, "nesterov"), dampening: number(o, "dampening", 0) }),
    ),
  "timm.optim.adopt:Adopt": (o) =>
    timmCautious(
      o,
      adopt({
        ...common(o),
        ...clip("clip_exp" in o ? o["clip_exp"] : 0.333),
        decoupledWeightDecay: flag(o, "decoupled"),
      }),
    ),
  "adopt_author:ADOPT": (o, { args }) =>
    // Python's function of the step cannot be written down: it is there, t ↦ t^0.25, or null.
    adopt({
      ...common(o),
      ...clip("clip_lambda" in args && (args["clip_lambda"] as unknown) === null ? null : 0.25),
      decoupledWeightDecay: flag(o, "decouple"),
    }),
  "ademamix:AdEMAMix": (o) =>
    ademamix({
      ...common(o),
      alpha: number(o, "alpha", 2),
      alphaWarmup: number(o, "alpha_warmup", 0),
      beta3Warmup: number(o, "beta3_warmup", 0),
    }),
  "optimi.stableadamw:StableAdamW": (o, { args }) => {
    const { weightDecay = 1e-2, ...others } = common(o);
    const scale = flag(o, "decouple_lr") ? number(args, "lr", 1) : 1;
    return stableAdamw({ ...others, weightDecay: weightDecay / scale });
  },
  "timm.optim.mars:Mars": (o, { dimensions }) => {
    const { betas: _betas, ...others } = common(o);
    const betas = pair(o, "betas") ?? [0.9, 0.99];
    if (dimensions < 2 && !flag(o, "optimize_1d")) {
      const lr = number(o, "lr", 3e-3) * number(o, "lr_1d_factor", 1);
      return timmCautious(o, adamw({ weightDecay: 0, ...others, lr, betas: pair(o, "betas_1d") ?? betas }));
    }
    const options = { ...others, gamma: number(o, "gamma", 0.025), correctsFirst: false };
    if ((o["mars_type"] as unknown) !== "lion") return timmCautious(o, mars({ ...options, betas }));
    const { eps: _eps, ...rest } = options;
    return timmCautious(o, marsLion({ ...rest, momentum: betas[0] }));
  },
  "mars_author:MARS": (o, { dimensions, args }) => {
    const { betas: _betas, ...others } = common(o);
    const betas = pair(o, "betas") ?? [0.95, 0.99];
    const amsgrad = flag(o, "amsgrad");
    if (dimensions !== 2 && !flag(o, "optimize_1d")) {
      return adamw({
        ...others,
        lr: number(o, "lr", 3e-3) * (number(args, "lr_1d", 3e-3) / number(args, "lr", 3e-3)),
        betas: pair(args, "betas_1d") ?? [0.9, 0.95],
        weightDecay: number(o, "weight_decay_1d", 0.1),
        amsgrad,
      });
    }
    const gamma = number(args, "gamma", 0.025);
    if ((args["mars_type"] as unknown) === "mars-shampoo" && dimensions === 2) {
      const { eps: _eps, ...rest } = others;
      return marsShampoo({ ...rest, momentum: betas[0], gamma });
    }
    if ((args["mars_type"] as unknown) !== "mars-lion") return mars({ ...others, betas, gamma, amsgrad });
    const { eps: _eps, ...rest } = others;
    return marsLion({ ...rest, momentum: betas[0], gamma });
  },
};

const scales: { readonly [name: string]: "original" | "matchRmsAdamW" | "rmsToRms" } = {
  original: "original",
  match_rms_adamw: "matchRmsAdamW",
  rms_to_rms: "rmsToRms",
};

/** Keller Jordan's k of a convolution is that of the sides of its kernel. */
function kellerMuon(
  o: TorchOptions,
  shape: readonly number[],
  more: { readonly cautious?: boolean } = {},
): UpdateRule {
  const [high = 1, wide = 1] = shape.slice(-2);
  const scale = shape.length > 2 ? { scale: Math.sqrt(Math.max(1, high / wide)) } : {};
  return muon({ lr: 0.02, weightDecay: 0, momentum: 0.95, ...withoutEps(o) }, { ...scale, ...more });
}

function withoutEps(o: TorchOptions): Omit<Common, "eps" | "betas"> {
  const { eps: _eps, betas: _betas, ...others } = common(o);
  return others;
}

/** The parameters that timm orthogonalizes by default. */
function suitsTimm(shape: readonly number[]): boolean {
  const [first = 1, second = 1] = shape;
  const rest = shape.slice(1).reduce((product, side) => product * side, 1);
  const [short, long] = [Math.min(first, rest), Math.max(first, rest)];
  return (
    shape.filter((side) => side > 1).length > 1 &&
    first > 1 &&
    second > 1 &&
    short >= 4 &&
    long / short <= 128
  );
}

function timmCoefficients(o: TorchOptions): NonNullable<MuonOptions["coefficients"]> {
  const given = (o["ns_coefficients"] ?? "quintic") as unknown;
  if (given === "original") return "jordan";
  if (given === "polar_express") return "polarExpress";
  return given === "quintic" ? "quintic" : [given as readonly [number, number, number]];
}

const triple = (o: TorchOptions, name: string): readonly [number, number, number] | undefined =>
  (o[name] ?? undefined) as readonly [number, number, number] | undefined;

interface Common {
  readonly lr?: number;
  readonly betas?: readonly [number, number] & readonly [number, number, number];
  readonly eps?: number;
  readonly weightDecay?: number;
  readonly momentum?: number;
  readonly maximize?: boolean;
}

/** The options that have the same meaning everywhere. */
function common(o: TorchOptions): Common {
  const named = { lr: "lr", betas: "betas", eps: "eps", weight_decay: "weightDecay", momentum: "momentum" };
  const values = Object.entries({ ...named, maximize: "maximize" }).flatMap(([theirs, ours]) =>
    theirs in o ? [[ours, o[theirs]]] : [],
  );
  return Object.fromEntries(values) as Common;
}

const pair = (o: TorchOptions, name: string): readonly [number, number] | undefined =>
  (o[name] ?? undefined) as readonly [number, number] | undefined;
const flag = (o: TorchOptions, name: string, otherwise = false): boolean => Boolean(o[name] ?? otherwise);
const number = (o: TorchOptions, name: string, otherwise: number): number => Number(o[name] ?? otherwise);

function adampOf(o: TorchOptions): UpdateRule {
  const { momentum: _momentum, ...others } = common(o);
  return adamp({ ...others, nesterov: flag(o, "nesterov"), cautious: flag(o, "caution"), ...projecting(o) });
}

const projecting = (o: TorchOptions): { readonly delta: number; readonly wdRatio: number } => ({
  delta: number(o, "delta", 0.1),
  wdRatio: number(o, "wd_ratio", 0.1),
});

/** The first estimate, and the bound of its growth, which is ∞ or a number. */
function distance(o: TorchOptions): { readonly d0: number; readonly growthRate: number } {
  const growth = number(o, "growth_rate", Infinity);
  return { d0: number(o, "d0", 1e-6), growthRate: growth === Infinity ? 0 : growth };
}

const weighting = (o: TorchOptions): { readonly r: number; readonly weightLrPower: number } => ({
  r: number(o, "r", 0),
  weightLrPower: number(o, "weight_lr_power", 2),
});

const timmCautious = (o: TorchOptions, rule: UpdateRule): UpdateRule =>
  flag(o, "caution") ? cautious(rule, { floor: 1e-3 }) : rule;

/** lion-pytorch divides λ by the constructor's learning rate where it is told to decouple them. */
function luciDecay(o: TorchOptions, args: TorchOptions): Common {
  const { weightDecay = 0, ...others } = common(o);
  const scale = flag(o, "decoupled_weight_decay") ? number(args, "lr", 1e-4) : 1;
  return { ...others, weightDecay: weightDecay / scale };
}

const clip = (exponent: number | null): { readonly clips: boolean; readonly clipExponent?: number } =>
  exponent === null ? { clips: false } : { clips: true, clipExponent: exponent };
