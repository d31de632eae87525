import type {
  AdabeliefHyperparameters,
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
  SgdHyperparameters,
  SignumHyperparameters,
} from "@mm/optim-rules";

/** What an element's update reads beside its own state. */
interface Element<H> {
  readonly p: number;
  /** As the loss gave it. */
  readonly g: number;
  /** Steps of this tensor, from 1. */
  readonly t: number;
  readonly h: Readonly<H>;
  /** What the formula's first pass gave for this element; 0 without one. */
  readonly r: number;
  /** 2-norms over the whole tensor, for rules by layer. */
  readonly norms: { readonly p: number; readonly g: number; readonly r: number };
}

/**
 * A rule for one element, in float64, as the paper or PyTorch's page has it: `s` is the element's own state, keyed as the slots are;
 * returns the next parameter. Written apart from the rules: nothing is shared but the names.
 */
export interface Formula<H, S extends { [slot: string]: number }> {
  readonly start: (h: Readonly<H>) => S;
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
    const d = h.maximize ? -g : g;
    s.expAvg = b1 * s.expAvg + (1 - b1) * d;
    s.expAvgVar = b2 * s.expAvgVar + (1 - b2) * (d - s.expAvg) ** 2 + h.eps;
    if (h.amsgrad) s.maxExpAvgVar = Math.max(s.maxExpAvgVar, s.expAvgVar);
    const v = h.amsgrad ? s.maxExpAvgVar : s.expAvgVar;
    const root = Math.sqrt(v / (1 - b2 ** t)) + h.eps;
    return p - h.lr * h.weightDecay * p - (h.lr * (s.expAvg / (1 - b1 ** t))) / root;
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

export const lamb: Formula<LambHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  direction(s, { p, g, t, h }) {
    const [b1, b2] = h.betas;
    s.expAvg = b1 * s.expAvg + (1 - b1) * (h.maximize ? -g : g);
    s.expAvgSq = b2 * s.expAvgSq + (1 - b2) * g ** 2;
    const root = Math.sqrt(s.expAvgSq / (1 - b2 ** t)) + h.eps;
    return s.expAvg / (1 - b1 ** t) / root + h.weightDecay * p;
  },
  next(_, { p, r, h, norms }) {
    const ratio = norms.p > 0 && norms.r > 0 ? norms.p / norms.r : 1;
    return p - h.lr * ratio * r;
  },
};

export const lars: Formula<LarsHyperparameters, { momentumBuffer: number }> = {
  start: () => ({ momentumBuffer: 0 }),
  next(s, { p, g, h, norms }) {
    const local =
      norms.p > 0 && norms.g > 0
        ? (h.trustCoefficient * norms.p) / (norms.g + h.weightDecay * norms.p + h.eps)
        : 1;
    const d = h.lr * local * ((h.maximize ? -g : g) + h.weightDecay * p);
    if (h.momentum === 0) return p - d;
    s.momentumBuffer = h.momentum * s.momentumBuffer + d;
    return p - (h.nesterov ? d + h.momentum * s.momentumBuffer : s.momentumBuffer);
  },
};

export const novograd: Formula<NovogradHyperparameters, { expAvg: number; expAvgSq: number }> = {
  start: () => ({ expAvg: 0, expAvgSq: 0 }),
  next(s, { p, g, h, norms }) {
    const [b1, b2] = h.betas;
    const squared = norms.g ** 2;
    s.expAvgSq = s.expAvgSq === 0 ? squared : b2 * s.expAvgSq + (1 - b2) * squared;
    const d = (h.maximize ? -g : g) / (Math.sqrt(s.expAvgSq) + h.eps) + h.weightDecay * p;
    s.expAvg = b1 * s.expAvg + (h.gradAveraging ? 1 - b1 : 1) * d;
    return p - h.lr * s.expAvg;
  },
};
