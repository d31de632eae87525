import type { TorchOptions, TorchValue } from "../format.ts";

/** PyTorch's state of one parameter, under PyTorch's names. */
export interface ParameterState {
  step: number;
  readonly tensors: Record<string, number[]>;
  readonly scalars: Record<string, number>;
}

/** One step of one parameter, in place, in float64. `theta` and `g` have one length; `g` may be changed. */
type Formula = (theta: number[], g: number[], state: ParameterState, h: Hyperparameters) => void;

/** The hyperparameters of one group, defaults filled in. */
class Hyperparameters {
  readonly #values: TorchOptions;

  constructor(values: TorchOptions) {
    this.#values = values;
  }

  number(name: string): number {
    return this.#values[name] as number;
  }

  pair(name: string): readonly [number, number] {
    return this.#values[name] as unknown as readonly [number, number];
  }

  is(name: string): boolean {
    return this.#values[name] === true;
  }
}

interface Definition {
  readonly defaults: Record<string, TorchValue>;
  readonly step: Formula;
  /** Whether its state has no count of steps. */
  readonly uncounted?: true;
}

/**
 * PyTorch's optimizers once more, element by element in float64, written from their documentation and sharing nothing with our rules:
 * where a recording is not what we want, these say what is.
 */
const definitions: Readonly<Record<string, Definition>> = {
  SGD: {
    defaults: { lr: 1e-3, momentum: 0, dampening: 0, weight_decay: 0, nesterov: false },
    uncounted: true,
    step(theta, g, { tensors }, h) {
      const [lr, mu] = [h.number("lr"), h.number("momentum")];
      addWeightDecay(theta, g, h);
      if (mu !== 0) {
        const first = tensors["momentum_buffer"] === undefined;
        const buffer = slot(tensors, "momentum_buffer", theta);
        each(theta, (i) => {
          buffer[i] = first ? at(g, i) : mu * at(buffer, i) + (1 - h.number("dampening")) * at(g, i);
          g[i] = h.is("nesterov") ? at(g, i) + mu * at(buffer, i) : at(buffer, i);
        });
      }
      each(theta, (i) => (theta[i] = at(theta, i) - lr * at(g, i)));
    },
  },
  Adam: {
    defaults: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, amsgrad: false },
    step(theta, g, state, h) {
      addWeightDecay(theta, g, h);
      adam(theta, g, state, h);
    },
  },
  AdamW: {
    defaults: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 1e-2, amsgrad: false },
    step(theta, g, state, h) {
      each(theta, (i) => (theta[i] = at(theta, i) * (1 - h.number("lr") * h.number("weight_decay"))));
      adam(theta, g, state, h);
    },
  },
  RMSprop: {
    defaults: { lr: 1e-2, alpha: 0.99, eps: 1e-8, weight_decay: 0, momentum: 0, centered: false },
    step(theta, g, { tensors }, h) {
      const [lr, alpha, eps, mu] = [h.number("lr"), h.number("alpha"), h.number("eps"), h.number("momentum")];
      addWeightDecay(theta, g, h);
      const square = slot(tensors, "square_avg", theta);
      const mean = h.is("centered") ? slot(tensors, "grad_avg", theta) : undefined;
      const buffer = mu > 0 ? slot(tensors, "momentum_buffer", theta) : undefined;
      each(theta, (i) => {
        square[i] = alpha * at(square, i) + (1 - alpha) * at(g, i) ** 2;
        if (mean) mean[i] = alpha * at(mean, i) + (1 - alpha) * at(g, i);
        const variance = at(square, i) - (mean ? at(mean, i) ** 2 : 0);
        let direction = at(g, i) / (Math.sqrt(variance) + eps);
        if (buffer) direction = buffer[i] = mu * at(buffer, i) + direction;
        theta[i] = at(theta, i) - lr * direction;
      });
    },
  },
  Adagrad: {
    defaults: { lr: 1e-2, lr_decay: 0, weight_decay: 0, initial_accumulator_value: 0, eps: 1e-10 },
    step(theta, g, { step, tensors }, h) {
      addWeightDecay(theta, g, h);
      const sum = slot(tensors, "sum", theta, h.number("initial_accumulator_value"));
      const lr = h.number("lr") / (1 + (step - 1) * h.number("lr_decay"));
      each(theta, (i) => {
        sum[i] = at(sum, i) + at(g, i) ** 2;
        theta[i] = at(theta, i) - (lr * at(g, i)) / (Math.sqrt(at(sum, i)) + h.number("eps"));
      });
    },
  },
  Adadelta: {
    defaults: { lr: 1, rho: 0.9, eps: 1e-6, weight_decay: 0 },
    step(theta, g, { tensors }, h) {
      const [rho, eps] = [h.number("rho"), h.number("eps")];
      addWeightDecay(theta, g, h);
      const [square, delta] = [slot(tensors, "square_avg", theta), slot(tensors, "acc_delta", theta)];
      each(theta, (i) => {
        square[i] = rho * at(square, i) + (1 - rho) * at(g, i) ** 2;
        const change = (Math.sqrt(at(delta, i) + eps) / Math.sqrt(at(square, i) + eps)) * at(g, i);
        delta[i] = rho * at(delta, i) + (1 - rho) * change ** 2;
        theta[i] = at(theta, i) - h.number("lr") * change;
      });
    },
  },
  Adamax: {
    defaults: { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 },
    step(theta, g, { step, tensors }, h) {
      const [beta1, beta2] = h.pair("betas");
      addWeightDecay(theta, g, h);
      const [mean, largest] = [slot(tensors, "exp_avg", theta), slot(tensors, "exp_inf", theta)];
      each(theta, (i) => {
        mean[i] = beta1 * at(mean, i) + (1 - beta1) * at(g, i);
        largest[i] = Math.max(beta2 * at(largest, i), Math.abs(at(g, i)) + h.number("eps"));
        theta[i] = at(theta, i) - (h.number("lr") / (1 - beta1 ** step)) * (at(mean, i) / at(largest, i));
      });
    },
  },
  NAdam: {
    defaults: { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, momentum_decay: 4e-3 },
    step(theta, g, { step, tensors, scalars }, h) {
      const [lr, [beta1, beta2]] = [h.number("lr"), h.pair("betas")];
      addWeightDecay(theta, g, h);
      const momentum = (t: number): number => beta1 * (1 - 0.5 * 0.96 ** (t * h.number("momentum_decay")));
      const [now, next] = [momentum(step), momentum(step + 1)];
      const product = (scalars["mu_product"] ?? 1) * now;
      scalars["mu_product"] = product;
      const [mean, square] = [slot(tensors, "exp_avg", theta), slot(tensors, "exp_avg_sq", theta)];
      each(theta, (i) => {
        mean[i] = beta1 * at(mean, i) + (1 - beta1) * at(g, i);
        square[i] = beta2 * at(square, i) + (1 - beta2) * at(g, i) ** 2;
        const root = Math.sqrt(at(square, i) / (1 - beta2 ** step)) + h.number("eps");
        const gradient = (lr * (1 - now)) / (1 - product);
        const average = (lr * next) / (1 - product * next);
        theta[i] = at(theta, i) - (gradient * at(g, i) + average * at(mean, i)) / root;
      });
    },
  },
  RAdam: {
    defaults: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0 },
    step(theta, g, { step, tensors }, h) {
      const [lr, [beta1, beta2]] = [h.number("lr"), h.pair("betas")];
      addWeightDecay(theta, g, h);
      const limit = 2 / (1 - beta2) - 1;
      const rho = limit - (2 * step * beta2 ** step) / (1 - beta2 ** step);
      const rectified = Math.sqrt(((rho - 4) * (rho - 2) * limit) / ((limit - 4) * (limit - 2) * rho));
      const [mean, square] = [slot(tensors, "exp_avg", theta), slot(tensors, "exp_avg_sq", theta)];
      each(theta, (i) => {
        mean[i] = beta1 * at(mean, i) + (1 - beta1) * at(g, i);
        square[i] = beta2 * at(square, i) + (1 - beta2) * at(g, i) ** 2;
        const unbiased = at(mean, i) / (1 - beta1 ** step);
        const adaptive = Math.sqrt(1 - beta2 ** step) / (Math.sqrt(at(square, i)) + h.number("eps"));
        theta[i] = at(theta, i) - lr * unbiased * (rho > 5 ? rectified * adaptive : 1);
      });
    },
  },
  Rprop: {
    defaults: { lr: 1e-2, etas: [0.5, 1.2], step_sizes: [1e-6, 50] },
    step(theta, g, { tensors }, h) {
      const [[smaller, larger], [least, most]] = [h.pair("etas"), h.pair("step_sizes")];
      const [previous, size] = [
        slot(tensors, "prev", theta),
        slot(tensors, "step_size", theta, h.number("lr")),
      ];
      each(theta, (i) => {
        const agreement = at(g, i) * at(previous, i);
        const factor = agreement > 0 ? larger : agreement < 0 ? smaller : 1;
        size[i] = Math.min(most, Math.max(least, at(size, i) * factor));
        if (agreement < 0) g[i] = 0;
        theta[i] = at(theta, i) - Math.sign(at(g, i)) * at(size, i);
        previous[i] = at(g, i);
      });
    },
  },
  ASGD: {
    defaults: { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weight_decay: 0 },
    step(theta, g, { step, tensors, scalars }, h) {
      const [lr, lambd] = [h.number("lr"), h.number("lambd")];
      const { eta = lr, mu = 1 } = scalars;
      addWeightDecay(theta, g, h);
      const average = slot(tensors, "ax", theta);
      each(theta, (i) => {
        theta[i] = at(theta, i) * (1 - lambd * eta) - eta * at(g, i);
        average[i] = mu === 1 ? at(theta, i) : at(average, i) + (at(theta, i) - at(average, i)) * mu;
      });
      scalars["eta"] = lr / (1 + lambd * lr * step) ** h.number("alpha");
      scalars["mu"] = 1 / Math.max(1, step - h.number("t0"));
    },
  },
};

function adam(theta: number[], g: number[], { step, tensors }: ParameterState, h: Hyperparameters): void {
  const [beta1, beta2] = h.pair("betas");
  const [mean, square] = [slot(tensors, "exp_avg", theta), slot(tensors, "exp_avg_sq", theta)];
  const largest = h.is("amsgrad") ? slot(tensors, "max_exp_avg_sq", theta) : undefined;
  each(theta, (i) => {
    mean[i] = beta1 * at(mean, i) + (1 - beta1) * at(g, i);
    square[i] = beta2 * at(square, i) + (1 - beta2) * at(g, i) ** 2;
    if (largest) largest[i] = Math.max(at(largest, i), at(square, i));
    const root = Math.sqrt(at(largest ?? square, i)) / Math.sqrt(1 - beta2 ** step) + h.number("eps");
    theta[i] = at(theta, i) - ((h.number("lr") / (1 - beta1 ** step)) * at(mean, i)) / root;
  });
}

/** Parameters, hyperparameters and state of an optimizer of PyTorch, in float64. */
export class TorchModel {
  readonly parameters: Map<string, number[]> = new Map();
  /** Live: what is assigned counts from the next step. */
  readonly groups: readonly { readonly params: readonly string[]; options: TorchOptions }[];
  readonly #type: string;
  readonly #states = new Map<string, ParameterState>();

  constructor(
    { type, args }: { readonly type: string; readonly args: TorchOptions },
    groups: readonly { readonly params: readonly string[]; readonly options?: TorchOptions }[],
  ) {
    this.#type = type;
    this.groups = groups.map(({ params, options }) => ({
      params,
      options: { maximize: false, ...this.#definition.defaults, ...args, ...options },
    }));
  }

  /** Parameters without an entry have no gradient: they and their state stay. */
  step(gradients: ReadonlyMap<string, readonly number[]>): void {
    for (const { params, options } of this.groups) {
      for (const name of params) {
        const gradient = gradients.get(name);
        if (gradient === undefined) continue;
        const state = this.#states.get(name) ?? { step: 0, tensors: {}, scalars: {} };
        this.#states.set(name, state);
        state.step += 1;
        const g = gradient.map((value) => (options["maximize"] === true ? -value : value));
        this.#definition.step(this.parameters.get(name) as number[], g, state, new Hyperparameters(options));
      }
    }
  }

  /** The `state` of PyTorch's state dict. */
  state(): Record<string, TorchOptions> {
    const names = this.groups.flatMap(({ params }) => params);
    const entries = names.flatMap((name, index) => {
      const state = this.#states.get(name);
      return state === undefined ? [] : [[String(index), this.#saved(state)] as const];
    });
    return Object.fromEntries(entries);
  }

  get #definition(): Definition {
    const definition = definitions[this.#type];
    if (definition === undefined) throw new Error(`no expectation for torch.optim.${this.#type}`);
    return definition;
  }

  #saved({ step, tensors, scalars }: ParameterState): TorchOptions {
    return {
      ...(this.#definition.uncounted ? {} : { step }),
      ...Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [
          name,
          { tensor: encode(tensor), shape: [tensor.length] },
        ]),
      ),
      ...scalars,
    };
  }
}

/** As a recording has them: float32, and words for what JSON has no number for. */
export function encode(values: readonly number[]): (number | "NaN" | "Infinity" | "-Infinity")[] {
  return values.map((value) => {
    const rounded = Math.fround(value);
    return Number.isFinite(rounded) ? rounded : (String(rounded) as "NaN" | "Infinity" | "-Infinity");
  });
}

function addWeightDecay(theta: readonly number[], g: number[], h: Hyperparameters): void {
  each(theta, (i) => (g[i] = at(g, i) + h.number("weight_decay") * at(theta, i)));
}

function slot(
  tensors: Record<string, number[]>,
  name: string,
  like: readonly number[],
  initial = 0,
): number[] {
  return (tensors[name] ??= like.map(() => initial));
}

function each(list: readonly number[], run: (index: number) => void): void {
  for (let index = 0; index < list.length; index += 1) run(index);
}

function at(list: readonly number[], index: number): number {
  return list[index] as number;
}
