import {
  add,
  type Coefficients,
  max,
  mul,
  orthogonalize,
  type Scalar,
  type Tensor,
  type UpdateRuleFactory,
} from "@mm/optim-core/rule";
import type { BaseHyperparameters } from "@mm/optim-core";
import { checkSchema, integerFrom, isFinite32, type Schema } from "@mm/optim-core/schema";
import { average, descent } from "./terms.ts";

const jordan: readonly Coefficients[] = [[3.4445, -4.775, 2.0315]];

type Published = "jordan" | "quintic" | "polarExpress";

/** Coefficients by name, a triple a step; of more steps than there are, the last is repeated. */
const published: { readonly [P in Published]: readonly Coefficients[] } = {
  /** Keller Jordan's. */
  jordan,
  /** Those of timm's `quintic`. */
  quintic: [
    [4.0848, -6.8946, 2.927],
    [3.9505, -6.3029, 2.6377],
    [3.7418, -5.5913, 2.3037],
    [2.8769, -3.1427, 1.2046],
    [2.8366, -3.0525, 1.2012],
  ],
  /** Polar Express (Amsel et al., arXiv:2505.16932), whose first steps expect a safety of 1.01. */
  polarExpress: [
    [8.237312490495555, -23.157747414558198, 16.680568411445915],
    [4.082441999064835, -2.893047735332586, 0.5252849256975648],
    [3.9263479922546582, -2.8547468034765298, 0.5318022422894988],
    [3.2982187133085143, -2.424541981026706, 0.48632008358844075],
    [2.2970369434552573, -1.63662558125903, 0.4002628455953627],
    [1.8763805351440397, -1.2347896577722228, 0.35891887501668385],
    [1.8564423485617974, -1.2132449880935525, 0.3568003487825883],
    [1.8749994008682747, -1.2499988017229169, 0.3749994008546422],
  ],
};

/** How a matrix is orthogonalized. Constants of the compiled rule: other ones are another rule. */
export interface NewtonSchulzOptions {
  /** Default `"jordan"`. */
  readonly coefficients?: Published | readonly Coefficients[];
  /** Default: as many as there are coefficients, but 5 of `"jordan"` and `"polarExpress"`. */
  readonly steps?: number;
  /** The norm is multiplied by it before the matrix is divided by it; at least 1. Default 1. */
  readonly safety?: number;
  /**
   * The matrix is divided by ‖x‖ + ε (`"sum"`: Keller Jordan, optax, Keras) or by max(‖x‖, ε) (`"max"`: PyTorch, timm), which differ for
   * gradients that are nearly 0. Default `"sum"`.
   */
  readonly divisor?: "sum" | "max";
  /** ε of the divisor. Default 1e-7. */
  readonly eps?: number;
}

const isCoefficients = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((triple) => Array.isArray(triple) && triple.length === 3 && triple.every(isFinite32));

type Fields = { readonly [field: string]: Schema };

const newtonSchulzFields = (): Fields => ({
  "coefficients?": [
    (value) => Object.hasOwn(published, value) || isCoefficients(value),
    `one of ${Object.keys(published).join(", ")}, or three finite numbers for each step`,
  ],
  "steps?": integerFrom(1),
  "safety?": [(value) => isFinite32(value) && value >= 1, "a number of at least 1"],
  "eps?": [(value) => isFinite32(value) && value > 0, "a number above 0"],
  "divisor?": [(value) => value === "sum" || value === "max", '"sum" or "max"'],
});

/**
 * The rules of one name, by how they orthogonalize and what else is compiled in: one definition for equal options, since backends keep compiled
 * kernels by definition.
 *
 * @param fields of the options that are not {@link NewtonSchulzOptions}
 */
export function byOptions<O extends NewtonSchulzOptions, H extends BaseHyperparameters>(
  name: string,
  fields: () => Fields,
  define: (options: O) => UpdateRuleFactory<H>,
): (options: O) => UpdateRuleFactory<H> {
  const factories = new Map<string, UpdateRuleFactory<H>>();
  return (options) => {
    checkSchema("invalid-option", `${name}: options`, options, {
      fields: { ...newtonSchulzFields(), ...fields() },
    });
    const key = JSON.stringify(options);
    const factory = factories.get(key) ?? define(options);
    factories.set(key, factory);
    return factory;
  };
}

/** The gradient g to descend along, the momentum m, and u, what Muon orthogonalizes: (1 − μ)g + μm with Nesterov's momentum, else m. */
export function momentumOf(
  { grad, momentumBuffer }: { readonly grad: Tensor; readonly momentumBuffer: Tensor },
  momentum: Scalar,
  { nesterov, maximize }: { readonly nesterov: boolean; readonly maximize: boolean },
): { readonly g: Tensor; readonly m: Tensor; readonly u: Tensor } {
  const g = descent(grad, maximize);
  const m = average(momentum, momentumBuffer, g);
  return { g, m, u: nesterov ? average(momentum, m, g) : m };
}

/** One triple a step. */
function coefficientsOf({ coefficients = "jordan", steps }: NewtonSchulzOptions): readonly Coefficients[] {
  const isNamed = typeof coefficients === "string";
  const triples = isNamed ? published[coefficients] : coefficients;
  const count = steps ?? (isNamed && coefficients !== "quintic" ? 5 : triples.length);
  return Array.from(
    { length: count },
    (_, step) => triples[Math.min(step, triples.length - 1)] as Coefficients,
  );
}

/** The nearest matrix with orthonormal rows or columns, as far as these options go. */
export function orthogonal(x: Tensor, options: NewtonSchulzOptions): Tensor {
  const { safety = 1, divisor = "sum", eps = 1e-7 } = options;
  return orthogonalize(x, {
    coefficients: coefficientsOf(options),
    divisor(norm: Scalar) {
      const size = safety === 1 ? norm : mul(safety, norm);
      return divisor === "sum" ? add(size, eps) : max(size, eps);
    },
  });
}
