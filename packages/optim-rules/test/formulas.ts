import type {
  AdabeliefHyperparameters,
  AdamwEpsilonHatHyperparameters,
  AdemamixHyperparameters,
  AdoptHyperparameters,
  LapropHyperparameters,
  MarsHyperparameters,
  MarsLionHyperparameters,
  NadamwHyperparameters,
  SgdwHyperparameters,
  StableAdamwHyperparameters,
  YogiHyperparameters,
  AdadeltaHyperparameters,
  AdagradHyperparameters,
  AdamaxHyperparameters,
  AdamHyperparameters,
  AdamwHyperparameters,
  AdanHyperparameters,
  AsgdHyperparameters,
  LambHyperparameters,
  LarsHyperparameters,
  LionHyperparameters,
  NadamHyperparameters,
  NovogradHyperparameters,
  RadamHyperparameters,
  RmspropHyperparameters,
  RpropHyperparameters,
  ScheduleFreeAdamwHyperparameters,
  ScheduleFreeRadamHyperparameters,
  ScheduleFreeSgdHyperparameters,
  SgdHyperparameters,
  SignumHyperparameters,
} from "@mm/optim-rules";

/** The inputs of an element's update beside its own state. */
interface Element<H> {
  readonly p: number;
  /** As the loss gave it. */
  readonly g: number;
  /** Steps of this tensor, from 1. */
  readonly t: number;
  readonly h: Readonly<H>;
  /** The result of the formula's first pass for this element; 0 without one. */
  readonly r: number;
  /** 2-norms over the whole tensor, for rules by layer, and its number of elements. */
  readonly norms: { readonly p: number; readonly g: number; readonly r: number; readonly size: number };
}

/**
 * A rule for one element, in float64, as the paper or PyTorch's page has it: `s` is the element's own state, keyed as the slots are;
 * returns the next parameter. Written apart from the rules: nothing is shared but the names.
 */
export interface Formula<H, S extends { [slot: string]: number }> {
  /** @param p the parameter before its first step */
  readonly start: (h: Readonly<H>, p: number) => S;
  /** Moves the parameter before all else, where norms are taken of what it is then. */
  readonly before?: (s: S, x: Omit<Element<H>, "r" | "norms">) => number;
  /** A first pass over the elements, where `next` reads the norm of what it gives. */
  readonly direction?: (s: S, x: Omit<Element<H>, "r" | "norms">) => number;
  readonly next: (s: S, x: Element<H>) => number;
}

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

export const sgd: Formula<SgdHyperparameters, { momentumBuffer: number; momentumStarted: number }> = {
  start: () => ({ momentumBuffer: 0, momentumStarted: 0 }),
  next(s, { p, g, h }) {
    let d = (h.maximize ? -g : g) + h.weightDecay * p;
    if (h.momentum !== 0) {
      s.momentumBuffer = s.momentumStarted === 0 ? d : h.momentum * s.momentumBuffer + (1 - h.dampening) * d;
      s.momentumStarted = 1;
      d = h.nesterov ? d + h.momentum * s.momentumBuffer : s.momentumBuffer;
    }
    return p - h.lr * d;
  },
};

const adamStep = (
  s: { expAvg: number; expAvgSq: number; maxExpAvgSq: number },
  p: number,
  d: number,
  t: number,
  h: Readonly<AdamHyperparameters>,
): number => {
  const [b1, b2] = h.betas;
  s.expAvg = b1 * s.expAvg + (1 - b1) * d;
  s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
  if (h.amsgrad) s.maxExpAvgSq = Math.max(s.maxExpAvgSq, s.expAvgSq);
  const v = h.amsgrad ? s.maxExpAvgSq : s.expAvgSq;
  return p - ((h.lr / (1 - b1 ** t)) * s.expAvg) / (Math.sqrt(v) / Math.sqrt(1 - b2 ** t) + h.eps);
};

type AdamState = { expAvg: number; expAvgSq: number; maxExpAvgSq: number };

export const adam: Formula<AdamHyperparameters, AdamState> = {
  start: () => ({ expAvg: 0, expAvgSq: 0, maxExpAvgSq: 0 }),
  next: (s, { p, g, t, h }) => adamStep(s, p, (h.maximize ? -g : g) + h.weightDecay * p, t, h),
};

export const adamw: Formula<AdamwHyperparameters, AdamState> = {
  start: () => ({ expAvg: 0, expAvgSq: 0, maxExpAvgSq: 0 }),
  next: (s, { p, g, t, h }) => adamStep(s, p - h.lr * h.weightDecay * p, h.maximize ? -g : g, t, h),
};

export const nadam: Formula<NadamHyperparameters, { expAvg: number; expAvgSq: number; muProduct: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0, muProduct: 1 }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const decoupled = h.decoupledWeightDecay;
    const d = (h.maximize ? -g : g) + (decoupled ? 0 : h.weightDecay * p);
    const q = decoupled ? p * (1 - h.lr * h.weightDecay) : p;
    const mu = b1 * (1 - 0.5 * 0.96 ** (t * h.momentumDecay));
    const muNext = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * h.momentumDecay));
    s.muProduct *= mu;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    const root = Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps;
    return (
      q -
      ((h.lr * (1 - mu)) / (1 - s.muProduct)) * (d / root) -
      ((h.lr * muNext) / (1 - s.muProduct * muNext)) * (s.expAvg / root)
    );
  },
};

export const radam: Formula<RadamHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const decoupled = h.decoupledWeightDecay;
    const d = (h.maximize ? -g : g) + (decoupled ? 0 : h.weightDecay * p);
    const q = decoupled ? p * (1 - h.lr * h.weightDecay) : p;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    const mean = s.expAvg / (1 - b1 ** t);
    const rhoInf = 2 / (1 - b2) - 1;
    const rho = rhoInf - (2 * t * b2 ** t) / (1 - b2 ** t);
    if (rho <= 5) return q - h.lr * mean;
    const r = Math.sqrt(((rho - 4) * (rho - 2) * rhoInf) / ((rhoInf - 4) * (rhoInf - 2) * rho));
    return q - (h.lr * mean * r * Math.sqrt(1 - b2 ** t)) / (Math.sqrt(s.expAvgSq) + h.eps);
  },
};

export const adamax: Formula<AdamaxHyperparameters, { expAvg: number; expInf: number }> = {
  start: () => ({ expAvg: 0, expInf: 0 }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const d = (h.maximize ? -g : g) + h.weightDecay * p;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expInf = Math.max(b2 * s.expInf, Math.abs(d) + h.eps);
    return p - ((h.lr / (1 - b1 ** t)) * s.expAvg) / s.expInf;
  },
};

export const adagrad: Formula<AdagradHyperparameters, { sum: number }> = {
  start: (h) => ({ sum: h.initialAccumulatorValue }),
  next(s, { p, g, t, h }) {
    const d = (h.maximize ? -g : g) + h.weightDecay * p;
    s.sum += d ** 2;
    return p - ((h.lr / (1 + (t - 1) * h.lrDecay)) * d) / (Math.sqrt(s.sum) + h.eps);
  },
};

export const adadelta: Formula<AdadeltaHyperparameters, { squareAvg: number; accDelta: number }> = {
  start: () => ({ squareAvg: 0, accDelta: 0 }),
  next(s, { p, g, h }) {
    const d = (h.maximize ? -g : g) + h.weightDecay * p;
    s.squareAvg = h.rho * s.squareAvg + (1 - h.rho) * d ** 2;
    const delta = (Math.sqrt(s.accDelta + h.eps) / Math.sqrt(s.squareAvg + h.eps)) * d;
    s.accDelta = h.rho * s.accDelta + (1 - h.rho) * delta ** 2;
    return p - h.lr * delta;
  },
};

export const rmsprop: Formula<
  RmspropHyperparameters,
  { squareAvg: number; gradAvg: number; momentumBuffer: number }
> = {
  start: () => ({ squareAvg: 0, gradAvg: 0, momentumBuffer: 0 }),
  next(s, { p, g, h }) {
    const d = (h.maximize ? -g : g) + h.weightDecay * p;
    s.squareAvg = h.alpha * s.squareAvg + (1 - h.alpha) * d ** 2;
    let variance = s.squareAvg;
    if (h.centered) {
      s.gradAvg = h.alpha * s.gradAvg + (1 - h.alpha) * d;
      variance -= s.gradAvg ** 2;
    }
    const scaled = d / (Math.sqrt(variance) + h.eps);
    if (h.momentum === 0) return p - h.lr * scaled;
    s.momentumBuffer = h.momentum * s.momentumBuffer + scaled;
    return p - h.lr * s.momentumBuffer;
  },
};

export const rprop: Formula<RpropHyperparameters, { prev: number; stepSize: number }> = {
  start: (h) => ({ prev: 0, stepSize: h.lr }),
  next(s, { p, g, h }) {
    let d = h.maximize ? -g : g;
    const q = Math.fround(d * s.prev); // PyTorch's product is float32, and may underflow to 0.
    const factor = q > 0 ? h.etas[1] : q < 0 ? h.etas[0] : 1;
    s.stepSize = clamp(s.stepSize * factor, h.stepSizes[0], h.stepSizes[1]);
    if (q < 0) d = 0;
    s.prev = d;
    return p - Math.sign(d) * s.stepSize;
  },
};

export const asgd: Formula<AsgdHyperparameters, { ax: number; eta: number; mu: number }> = {
  start: (h) => ({ ax: 0, eta: h.lr, mu: 1 }),
  next(s, { p, g, t, h }) {
    const d = (h.maximize ? -g : g) + h.weightDecay * p;
    const next = p * (1 - h.lambd * s.eta) - s.eta * d;
    s.ax = s.mu === 1 ? next : s.ax + (next - s.ax) * s.mu;
    s.eta = h.lr / (1 + h.lambd * h.lr * t) ** h.alpha;
    s.mu = 1 / Math.max(1, t - h.t0);
    return next;
  },
};

export const lion: Formula<LionHyperparameters, { expAvg: number }> = {
  start: () => ({ expAvg: 0 }),
  next(s, { p, g, h }) {
    const [b1, b2] = h.betas;
    const d = h.maximize ? -g : g;
    const direction = Math.sign(b1 * s.expAvg + (1 - b1) * d);
    s.expAvg = b2 * s.expAvg + (1 - b2) * d;
    return p - h.lr * (direction + h.weightDecay * p);
  },
};

export const signum: Formula<SignumHyperparameters, { momentumBuffer: number }> = {
  start: () => ({ momentumBuffer: 0 }),
  next(s, { p, g, h }) {
    const d = h.maximize ? -g : g;
    if (h.momentum !== 0) s.momentumBuffer = h.momentum * s.momentumBuffer + (1 - h.momentum) * d;
    const m = h.momentum === 0 ? d : s.momentumBuffer;
    return p - h.lr * (Math.sign(m) + h.weightDecay * p);
  },
};

export const adabelief: Formula<
  AdabeliefHyperparameters,
  { expAvg: number; expAvgVar: number; maxExpAvgVar: number }
> = {
  start: () => ({ expAvg: 0, expAvgVar: 0, maxExpAvgVar: 0 }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const q = h.decoupledWeightDecay ? p - h.lr * h.weightDecay * p : p;
    const d = (h.maximize ? -g : g) + (h.decoupledWeightDecay ? 0 : h.weightDecay * p);
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgVar = b2 * s.expAvgVar + (1 - b2) * (d - s.expAvg) ** 2 + h.eps;
    if (h.amsgrad) s.maxExpAvgVar = Math.max(s.maxExpAvgVar, s.expAvgVar);
    const mean = s.expAvg / (1 - b1 ** t);
    if (h.rectify) {
      const rhoInf = 2 / (1 - b2) - 1;
      const rho = rhoInf - (2 * t * b2 ** t) / (1 - b2 ** t);
      if (rho < 5) return q - h.lr * mean;
      // timm's form of the rectifier
      const r = Math.sqrt(
        ((((((1 - b2 ** t) * (rho - 4)) / (rhoInf - 4)) * (rho - 2)) / rho) * rhoInf) / (rhoInf - 2),
      );
      return q - (h.lr * r * mean) / (Math.sqrt(s.expAvgVar) + h.eps);
    }
    const v = h.amsgrad ? s.maxExpAvgVar : s.expAvgVar;
    return q - (h.lr * mean) / (Math.sqrt(v / (1 - b2 ** t)) + h.eps);
  },
};

export const adan: Formula<
  AdanHyperparameters,
  { expAvg: number; expAvgDiff: number; expAvgSq: number; prev: number }
> = {
  start: () => ({ expAvg: 0, expAvgDiff: 0, expAvgSq: 0, prev: Number.NaN }),
  next(s, { p, g, t, h }) {
    const [b1, b2, b3] = h.betas;
    const d = h.maximize ? -g : g;
    const change = t === 1 ? 0 : d - s.prev;
    s.prev = d;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgDiff = b2 * s.expAvgDiff + (1 - b2) * change;
    s.expAvgSq = b3 * s.expAvgSq + (1 - b3) * (d + b2 * change) ** 2;
    const root = Math.sqrt(s.expAvgSq / (1 - b3 ** t)) + h.eps;
    const mean = s.expAvg / (1 - b1 ** t) + (b2 * s.expAvgDiff) / (1 - b2 ** t);
    const decay = h.lr * h.weightDecay;
    return h.noProx ? p * (1 - decay) - (h.lr * mean) / root : (p - (h.lr * mean) / root) / (1 + decay);
  },
};

const bias = (beta: number, t: number, corrected: boolean): number => (corrected ? 1 - beta ** t : 1);

export const lamb: Formula<LambHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  before: (_, { p, h }) => (h.decoupledWeightDecay ? p * (1 - h.lr * h.weightDecay) : p),
  direction(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    s.expAvg = b1 * s.expAvg + (h.gradAveraging ? 1 - b1 : 1) * (h.maximize ? -g : g);
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * g ** 2;
    const root = Math.sqrt(s.expAvgSq / bias(b2, t, h.biasCorrected)) + h.eps;
    const decay = h.decoupledWeightDecay ? 0 : h.weightDecay * p;
    return s.expAvg / bias(b1, t, h.biasCorrected) / root + decay;
  },
  next(_, { p, r, h, norms }) {
    let ratio = norms.p > 0 && norms.r > 0 ? norms.p / norms.r : 1;
    if (h.trustClip) ratio = Math.min(ratio, 1);
    return p - h.lr * (h.alwaysAdapt || h.weightDecay !== 0 ? ratio : 1) * r;
  },
};

export const lars: Formula<LarsHyperparameters, { momentumBuffer: number }> = {
  start: () => ({ momentumBuffer: 0 }),
  next(s, { p, g, h, norms }) {
    let local =
      norms.p > 0 && norms.g > 0
        ? (h.trustCoefficient * norms.p) / (norms.g + h.weightDecay * norms.p + h.eps)
        : 1;
    if (h.trustClip) local = Math.min(local / h.lr, 1);
    if (!h.alwaysAdapt && h.weightDecay === 0) local = 1;
    const [inside, outside] = h.lrInMomentum ? [h.lr, 1] : [1, h.lr];
    const d = inside * local * ((h.maximize ? -g : g) + h.weightDecay * p);
    if (h.momentum === 0) return p - outside * d;
    s.momentumBuffer = h.momentum * s.momentumBuffer + d;
    return p - outside * (h.nesterov ? d + h.momentum * s.momentumBuffer : s.momentumBuffer);
  },
};

export const novograd: Formula<
  NovogradHyperparameters,
  { expAvg: number; expAvgSq: number; maxExpAvgSq: number }
> = {
  start: () => ({ expAvg: 0, expAvgSq: 0, maxExpAvgSq: 0 }),
  next(s, { p, g, h, norms }) {
    const [b1, b2] = h.betas;
    const squared = norms.g ** 2;
    s.expAvgSq = s.expAvgSq === 0 ? squared : b2 * s.expAvgSq + (1 - b2) * squared;
    s.maxExpAvgSq = Math.max(s.maxExpAvgSq, s.expAvgSq);
    const v = h.amsgrad ? s.maxExpAvgSq : s.expAvgSq;
    const d = (h.maximize ? -g : g) / (Math.sqrt(v) + h.eps) + h.weightDecay * p;
    s.expAvg = b1 * s.expAvg + (h.gradAveraging ? 1 - b1 : 1) * d;
    return p - h.lr * s.expAvg;
  },
};

export const nadamw: Formula<NadamwHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const d = h.maximize ? -g : g;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    const ahead = (b1 * s.expAvg + (1 - b1) * d) / (1 - b1 ** t);
    return p * (1 - h.lr * h.weightDecay) - (h.lr * ahead) / (Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps);
  },
};

export const adamwEpsilonHat: Formula<AdamwEpsilonHatHyperparameters, { expAvg: number; expAvgSq: number }> =
  {
    start: () => ({ expAvg: 0, expAvgSq: 0 }),
    next(s, { p, g, t, h }) {
      const [b1, b2] = h.betas;
      const d = h.maximize ? -g : g;
      s.expAvg = b1 * s.expAvg + (1 - b1) * d;
      s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
      const factor = Math.sqrt(bias(b2, t, h.biasCorrected)) / bias(b1, t, h.biasCorrected);
      return p * (1 - h.lr * h.weightDecay) - (h.lr * factor * s.expAvg) / (Math.sqrt(s.expAvgSq) + h.eps);
    },
  };

export const sgdw: Formula<SgdwHyperparameters, { momentumBuffer: number; momentumStarted: number }> = {
  start: () => ({ momentumBuffer: 0, momentumStarted: 0 }),
  next(s, { p, g, h }) {
    const d = h.maximize ? -g : g;
    const q = p - h.lr * h.weightDecay * p;
    if (h.momentum === 0) return q - h.lr * d;
    s.momentumBuffer = s.momentumStarted === 0 ? d : h.momentum * s.momentumBuffer + (1 - h.dampening) * d;
    s.momentumStarted = 1;
    return q - h.lr * (h.nesterov ? d + h.momentum * s.momentumBuffer : s.momentumBuffer);
  },
};

export const yogi: Formula<YogiHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: (h) => ({ expAvg: h.initialAccumulatorValue, expAvgSq: h.initialAccumulatorValue }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const d = h.maximize ? -g : g;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgSq -= (1 - b2) * Math.sign(s.expAvgSq - d ** 2) * d ** 2;
    const mean = s.expAvg / (1 - b1 ** t);
    return p - h.lr * h.weightDecay * p - (h.lr * mean) / (Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps);
  },
};

export const laprop: Formula<
  LapropHyperparameters,
  { expAvg: number; expAvgSq: number; expAvgLr1: number; expAvgLr2: number }
> = {
  start: () => ({ expAvg: 0, expAvgSq: 0, expAvgLr1: 0, expAvgLr2: 0 }),
  next(s, { p, g, h }) {
    const [b1, b2] = h.betas;
    const d = h.maximize ? -g : g;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    s.expAvgLr1 = b1 * s.expAvgLr1 + (1 - b1) * h.lr;
    s.expAvgLr2 = b2 * s.expAvgLr2 + (1 - b2);
    const root = Math.sqrt(s.expAvgSq / s.expAvgLr2) + h.eps;
    s.expAvg = b1 * s.expAvg + h.lr * (1 - b1) * (d / root);
    return (p - s.expAvg / (s.expAvgLr1 / h.lr)) * (1 - h.lr * h.weightDecay);
  },
};

export const adopt: Formula<AdoptHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  next(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    const d = (h.maximize ? -g : g) + (h.decoupledWeightDecay ? 0 : h.weightDecay * p);
    const k = t - 1;
    if (k === 0) {
      s.expAvgSq = d ** 2;
      return p;
    }
    const q = h.decoupledWeightDecay ? p * (1 - h.lr * h.weightDecay) : p;
    let n = d / Math.max(Math.sqrt(s.expAvgSq), h.eps);
    if (h.clips) n = clamp(n, -(k ** h.clipExponent), k ** h.clipExponent);
    s.expAvg = b1 * s.expAvg + (1 - b1) * n;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    return q - h.lr * s.expAvg;
  },
};

export const ademamix: Formula<
  AdemamixHyperparameters,
  { expAvgFast: number; expAvgSlow: number; expAvgSq: number }
> = {
  start: () => ({ expAvgFast: 0, expAvgSlow: 0, expAvgSq: 0 }),
  next(s, { p, g, t, h }) {
    const [b1, b2, last] = h.betas;
    const d = h.maximize ? -g : g;
    const alpha = t < h.alphaWarmup ? (h.alpha * t) / h.alphaWarmup : h.alpha;
    let b3 = last;
    if (t < h.beta3Warmup) {
      const f = (beta: number): number => Math.log(0.5) / Math.log(beta + 1e-8) - 1;
      const done = t / h.beta3Warmup;
      b3 = 0.5 ** (1 / ((1 - done) * f(b1) + done * f(last) + 1));
    }
    s.expAvgFast = b1 * s.expAvgFast + (1 - b1) * d;
    s.expAvgSlow = b3 * s.expAvgSlow + (1 - b3) * d;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    const root = Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps;
    const direction = (s.expAvgFast / (1 - b1 ** t) + alpha * s.expAvgSlow) / root;
    return p - h.lr * (direction + h.weightDecay * p);
  },
};

export const stableAdamw: Formula<StableAdamwHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  direction(s, { g, t, h }) {
    const d = h.maximize ? -g : g;
    const hat = (beta: number): number => (beta ** t - beta) / (beta ** t - 1);
    const [b1, b2] = [hat(h.betas[0]), hat(h.betas[1])];
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * d ** 2;
    return d / Math.sqrt(Math.max(s.expAvgSq, h.eps ** 2));
  },
  next(s, { p, h, norms }) {
    const rate = h.lr / Math.max(1, norms.r / Math.sqrt(norms.size));
    return p * (1 - rate * h.weightDecay) - (rate * s.expAvg) / (Math.sqrt(s.expAvgSq) + h.eps);
  },
};

const corrected = (
  s: { lastGrad: number },
  { g, t, h }: { g: number; t: number; h: { gamma: number; maximize: boolean; correctsFirst: boolean } },
  beta: number,
): number => {
  const d = h.maximize ? -g : g;
  return t === 1 && !h.correctsFirst ? d : d + ((h.gamma * beta) / (1 - beta)) * (d - s.lastGrad);
};
const shortened = (
  r: number,
  { t, h, norms }: { t: number; h: { correctsFirst: boolean }; norms: { r: number } },
): number => (t === 1 && !h.correctsFirst ? r : r / Math.max(1, norms.r));

export const mars: Formula<
  MarsHyperparameters,
  { expAvg: number; expAvgSq: number; lastGrad: number; maxExpAvgSq: number }
> = {
  start: () => ({ expAvg: 0, expAvgSq: 0, lastGrad: 0, maxExpAvgSq: 0 }),
  direction: (s, x) => corrected(s, x, x.h.betas[0]),
  next(s, x) {
    const { p, g, t, h, r } = x;
    const [b1, b2] = h.betas;
    const c = shortened(r, x);
    s.expAvg = b1 * s.expAvg + (1 - b1) * c;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * c ** 2;
    if (h.amsgrad) s.maxExpAvgSq = Math.max(s.maxExpAvgSq, s.expAvgSq);
    s.lastGrad = h.maximize ? -g : g;
    const root = Math.sqrt((h.amsgrad ? s.maxExpAvgSq : s.expAvgSq) / (1 - b2 ** t)) + h.eps;
    return p - h.lr * (h.weightDecay * p + s.expAvg / (1 - b1 ** t) / root);
  },
};

export const marsLion: Formula<MarsLionHyperparameters, { expAvg: number; lastGrad: number }> = {
  start: () => ({ expAvg: 0, lastGrad: 0 }),
  direction: (s, x) => corrected(s, x, x.h.momentum),
  next(s, x) {
    const { p, g, h, r } = x;
    s.expAvg = h.momentum * s.expAvg + (1 - h.momentum) * shortened(r, x);
    s.lastGrad = h.maximize ? -g : g;
    return p - h.lr * (h.weightDecay * p + Math.sign(s.expAvg));
  },
};

interface ScheduleFreeState {
  [slot: string]: number;
  z: number;
  weightSum: number;
  lrMax: number;
}

/** The published step in its first form: x, the average, is found from y and z, moved, and y is made of it. */
function scheduleFree(
  s: ScheduleFreeState,
  {
    y,
    d,
    t,
    rate,
    beta,
    r,
    power,
  }: {
    readonly y: number;
    readonly d: number;
    readonly t: number;
    readonly rate: number;
    readonly beta: number;
    readonly r: number;
    readonly power: number;
  },
): number {
  s.lrMax = Math.max(s.lrMax, rate);
  const weight = t ** r * s.lrMax ** power;
  s.weightSum += weight;
  const c = s.weightSum === 0 ? 0 : weight / s.weightSum;
  const x = (y - (1 - beta) * s.z) / beta;
  s.z -= rate * d;
  const average = (1 - c) * x + c * s.z;
  return (1 - beta) * s.z + beta * average;
}

export const scheduleFreeSgd: Formula<ScheduleFreeSgdHyperparameters, ScheduleFreeState> = {
  start: (_, p) => ({ z: p, weightSum: 0, lrMax: 0 }),
  next(s, { p, g, t, h }) {
    const rate = h.lr * (h.warmupSteps > 0 ? Math.min(1, t / h.warmupSteps) : 1);
    const d = (h.maximize ? -g : g) + h.weightDecay * p;
    return scheduleFree(s, { y: p, d, t, rate, beta: h.momentum, r: h.r, power: h.weightLrPower });
  },
};

export const scheduleFreeAdamw: Formula<
  ScheduleFreeAdamwHyperparameters,
  ScheduleFreeState & { expAvgSq: number; expAvg: number }
> = {
  start: (_, p) => ({ z: p, weightSum: 0, lrMax: 0, expAvgSq: 0, expAvg: 0 }),
  next(s, { p, g: given, t, h }) {
    const g = h.maximize ? -given : given;
    const [beta, b2] = h.betas;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * g ** 2;
    s.expAvg = h.innerMomentum * s.expAvg + (1 - h.innerMomentum) * g;
    const top = h.innerMomentum === 0 ? g : s.expAvg / (1 - h.innerMomentum ** t);
    const d = top / (Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps) + h.weightDecay * p;
    const rate = h.lr * (h.warmupSteps > 0 ? Math.min(1, t / h.warmupSteps) : 1);
    return scheduleFree(s, { y: p, d, t, rate, beta, r: h.r, power: h.weightLrPower });
  },
};

export const scheduleFreeRadam: Formula<
  ScheduleFreeRadamHyperparameters,
  ScheduleFreeState & { expAvgSq: number }
> = {
  start: (_, p) => ({ z: p, weightSum: 0, lrMax: 0, expAvgSq: 0 }),
  next(s, { p, g: given, t, h }) {
    const g = h.maximize ? -given : given;
    const [beta, b2] = h.betas;
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * g ** 2;
    const longest = 2 / (1 - b2) - 1;
    const length = longest - (2 * t * b2 ** t) / (1 - b2 ** t);
    const rectifies = length > 4;
    const rectifier = Math.sqrt(
      ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length),
    );
    const d = rectifies ? g / (Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps) : g;
    const rate = h.lr * (rectifies ? rectifier : h.silentSgdPhase ? 0 : 1);
    const decayed = d + h.weightDecay * p;
    return scheduleFree(s, { y: p, d: decayed, t, rate, beta, r: h.r, power: h.weightLrPower });
  },
};
