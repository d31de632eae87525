import { type AddedParamGroup, type BaseHyperparameters, OptimError, type Optimizer } from "@mm/optim-core";
import { decorateOptimizer, refuse } from "@mm/optim-core/backend";
import {
  abs,
  add,
  defineUpdateRule,
  div,
  gt,
  lt,
  mul,
  norm,
  type Scalar,
  select,
  sqrt,
  type Tensor,
  total,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import { atLeastZero } from "./check.ts";
import { square } from "./terms.ts";

export interface SamAscentHyperparameters {
  /** Multiplies ρ: every rule has one. Default 1. */
  lr: number;
  /** ρ: how far the climb goes, the 2-norm of the perturbation of all parameters together. Default 0.05. */
  rho: number;
  /** Climb further where a weight is larger, by θ² (ASAM); ρ is then the norm of the perturbation in units of the weights. Default `false`. */
  adaptive: boolean;
  /** Whether a step climbs or comes back. {@link sam} sets it. */
  climbing: boolean;
  /** Whether one of the groups is adaptive, which changes the norm of all. {@link sam} sets it. */
  amongAdaptive: boolean;
}

/**
 * The rule of the second optimizer of {@link sam}. A step climbs, the next comes back:
 *
 * ```
 * s ← θ,  θ ← θ + ρĝ       ĝ = g/‖g‖ over all parameters, which the step makes
 * θ ← s                    to the bit
 * ```
 *
 * With `adaptive` (Kwon et al., ASAM, arXiv:2102.11600, equation 8) the climb is θ ← θ + ρθ²ĝ/‖θĝ‖, element by element: it does not change
 * where the weights of one layer are multiplied by a number and those of the next divided by it. In a group without it the factor is 1 in place
 * of θ, and the norm is that of all groups together. Waits for the passes of all tensors once more.
 *
 * Where ‖g‖ is not finite there is no direction, and no parameter moves; nor where all that would climb is 0. Slot: `saved` s, 4 bytes a parameter.
 *
 * Elsewhere: the paper adds η = 0.01 to |θ|, so that weights of 0 climb as well; the usual implementation (davda54/sam) does not, nor does this.
 */
export const samAscent: UpdateRuleFactory<SamAscentHyperparameters> = /* @__PURE__ */ defineUpdateRule({
  name: "SAMAscent",
  hyperparameters: { lr: 1, rho: 0.05, adaptive: false, climbing: true, amongAdaptive: false },
  check: ({ lr, rho }) => atLeastZero({ lr, rho }),
  slots: () => ({ saved: 0 }),
  update({ param, grad, saved }, { lr, rho }, { adaptive, climbing, amongAdaptive }) {
    if (!climbing) return { param: saved, saved };
    const scaled = adaptive ? mul(param, grad) : grad;
    const along = adaptive ? mul(param, scaled) : grad;
    const far = mul(lr, rho);
    const climbed = add(param, mul(adaptive || amongAdaptive ? perLength(far, scaled) : far, along));
    // No element of a unit vector is above 1; what a norm leaves that is not finite is NaN here, and not below 2.
    return { param: select(lt(abs(grad), 2), climbed, param), saved: param };
  },
});

/** A number divided by the norm of all tensors together; 0 where that is 0, or not a number. */
function perLength(far: Scalar, of: Tensor): Scalar {
  const length = sqrt(total(square(norm(of))));
  return select(gt(length, 0), div(far, length), 0);
}

/**
 * Sharpness-aware minimization (Foret et al., arXiv:2010.01412, algorithm 1): an optimizer that descends along the gradient at the
 * worst point nearby, θ + ρg/‖g‖, in place of the one at θ.
 *
 * Takes two optimizers of one backend over the same parameters, and owns both from here. `backward` runs the closure twice: the ascent
 * differentiates and climbs, the base differentiates there, the ascent comes back. All else is the base's: step, state, groups, metrics,
 * loss scalers. Its state dict is that of the base alone, so a run may begin or end with SAM.
 *
 * - Costs a second pass and 8 bytes a parameter (gradient and `saved`). Never waits for the device.
 * - In a window every micro-batch has its own perturbation (the paper's m-sharpness).
 * - `returnLoss` gives the loss at θ. ρ does not depend on scale, loss scale or clipping, which the base does alone.
 * - Where the gradient at θ is not finite nothing moves, the second pass meets it at θ, and the base does what its options say.
 * - Layers that count their calls (batch statistics, dropout's random numbers) see two of them.
 * - If the closure throws, in either pass, parameters are as before, to the bit.
 * - ρ is live: `ascent.paramGroups[0].rho = 0.1`. Several groups may differ in it, and in `adaptive`; the norm is of all.
 * - Adaptive (ASAM): `samAscent({ rho: 0.5, adaptive: true })`. Its ρ is about ten times that of SAM.
 *
 * Elsewhere: the reference implementations divide by ‖g‖ + 1e-12; here it is ‖g‖ + 1e-18, and below 1e-12 the climb becomes shorter.
 *
 * @throws OptimError `invalid-option` where the two do not belong together
 *
 * @example
 * ```ts
 * const optimizer = sam(
 *   wasmOptimizer(sgd({ lr: 0.1, momentum: 0.9 }), parameters),
 *   wasmOptimizer(samAscent({ rho: 0.05 }), parameters),
 * );
 * const optim = createOptimWrapper(optimizer, { clipGrad: { maxNorm: 1 } });
 * ```
 */
export function sam<Loss, LossValue, H extends BaseHyperparameters, R extends BaseHyperparameters = H>(
  base: Optimizer<Loss, LossValue, H, R>,
  ascent: Optimizer<NoInfer<Loss>, NoInfer<LossValue>, SamAscentHyperparameters>,
): Optimizer<Loss, LossValue, H, R> {
  checkPair(base, ascent);
  const ascentFrozen = new Set(ascent.frozen);
  ascent.freeze(base.frozen.filter((name) => !ascentFrozen.has(name)));

  let insideLoss = false;
  /** While the ascent runs the closure, the base does not know that it is in one. */
  const idle = (call: string): void => {
    if (insideLoss) {
      throw new OptimError("reentrant", `sam: ${call}`, {
        expected: "no call from the optimizer's own loss closure",
      });
    }
  };
  const move = (climbing: boolean): void => {
    const amongAdaptive = ascent.paramGroups.some(({ adaptive }) => adaptive);
    for (const group of ascent.paramGroups) Object.assign(group, { climbing, amongAdaptive });
    ascent.step(climbing ? climb : {});
  };

  const members: Partial<Optimizer<Loss, LossValue, H, R>> = {
    backward(loss, options = {}) {
      insideLoss = true;
      let value: LossValue | undefined;
      try {
        value = ascent.backward(loss, options);
        move(true);
        try {
          base.backward(loss, { ...options, returnLoss: false });
        } finally {
          move(false);
        }
        return value;
      } catch (error) {
        // Nobody gets it now. Losses that garbage collection does not free have a `dispose`.
        (value as Partial<{ dispose(): void }> | undefined)?.dispose?.();
        throw error;
      } finally {
        insideLoss = false;
        ascent.zeroGrad();
      }
    },
    freeze(names) {
      base.freeze(names);
      ascent.freeze(names);
    },
    unfreeze(names) {
      base.unfreeze(names);
      ascent.unfreeze(names);
    },
    addParamGroup(group: AddedParamGroup<H>) {
      base.addParamGroup(group);
      const taken = new Set(ascent.paramGroups.map(({ name }) => name));
      let name = base.paramGroups.at(-1)?.name ?? "";
      while (taken.has(name)) name += "'";
      ascent.addParamGroup({ name, params: group.params });
    },
    dispose() {
      base.dispose();
      ascent.dispose();
    },
  };
  return decorateOptimizer(base, members, idle);
}

/**
 * Clipping to norm 1 after so large a factor that every gradient is above it: the unit vector, with no number of the device read. A power
 * of two changes no digit, and leaves float32 norms room on both sides.
 */
const climb = { rescale: 2 ** 40, clipGrad: { maxNorm: 1 } } as const;

function checkPair(
  base: Optimizer<never, unknown>,
  ascent: Optimizer<never, unknown, SamAscentHyperparameters>,
): void {
  for (const [name, optimizer] of Object.entries({ base, ascent })) {
    if ((optimizer as Partial<typeof base> | undefined)?.kind !== "optimizer")
      refuse("invalid-option", `sam: ${name}`, "an optimizer", optimizer);
  }
  const expect = (expected: string, received: string): never => {
    refuse("invalid-option", "sam: ascent", expected, received);
  };
  if (ascent.rule !== "SAMAscent" || base === (ascent as object))
    expect("a second optimizer, made with samAscent()", ascent.rule);
  if (ascent.backend !== base.backend) expect(`an optimizer of ${base.backend}`, ascent.backend);
  const labels = ({ parameters }: typeof base): Set<string> =>
    new Set(parameters.map(({ name, shape }) => `${name} [${shape.join(", ")}]`));
  const [wanted, given] = [labels(base), labels(ascent)];
  for (const label of wanted)
    if (!given.has(label)) expect("the parameters of the base", `none that is ${label}`);
  for (const label of given) if (!wanted.has(label)) expect("the parameters of the base", `also ${label}`);
}
