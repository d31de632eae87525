import type { BaseHyperparameters } from "@mm/optim-core";
import {
  abs,
  add,
  defineUpdateRule,
  div,
  eq,
  gt,
  lt,
  max,
  min,
  mul,
  neg,
  norm,
  type Scalar,
  select,
  sign,
  sqrt,
  sub,
  type Tensor,
  type UpdateRule,
} from "@mm/optim-core/rule";
import { expectNumbers } from "./assert.ts";
import type { Kit, KitTest } from "./kit.ts";

/** Where float32 and its operations turn: NaN, and with both signs infinity, zero, denormals, the smallest normal, ties, the largest. */
const turns: readonly number[] = [
  Number.NaN,
  ...[
    Infinity,
    0,
    2 ** -149,
    2 ** -127,
    2 ** -126,
    0.5,
    1,
    1 + 2 ** -23,
    3,
    1e20,
    2 ** 128 - 2 ** 104,
  ].flatMap((x) => [x, -x]),
];

/** The values of a scalar, both zeros among them; the third does not fit a float32. */
const scalars: readonly number[] = [0, -0, 0.1, -3, 1e30];

interface Operands {
  readonly x: Tensor;
  readonly y: Tensor;
  readonly s: Scalar;
}

/** One operation as a rule has it, and what it comes to: `s` is a float64, which is rounded where a tensor meets it. */
interface Form {
  readonly what: string;
  /** The operands that it takes; the others are not tried out. */
  readonly of: "x" | "xy" | "xs" | "xys";
  readonly write: (operands: Operands) => Tensor;
  readonly means: (x: number, y: number, s: number) => number;
  /** The contract leaves open which zero it gives of two tensors' zeros of different sign. The reference's is that of `means`. */
  readonly eitherZero?: boolean;
  /** The results that are allowed for a denormal x that one of its operations takes for a zero and another as it is. */
  readonly orOfBoth?: (x: number, y: number) => number;
}

const { fround } = Math;

/** The next parameter where a condition holds, and where not. */
const [yes, no] = [2, -2];

const forms: { readonly [operation: string]: readonly Form[] } = {
  neg: [{ what: "−x", of: "x", write: ({ x }) => neg(x), means: (x) => -x }],
  abs: [{ what: "|x|", of: "x", write: ({ x }) => abs(x), means: Math.abs }],
  sqrt: [{ what: "√x", of: "x", write: ({ x }) => sqrt(x), means: Math.sqrt }],
  sign: [
    {
      what: "sign of x",
      of: "x",
      write: ({ x }) => sign(x),
      // +0 for either zero
      means: (x) => (x > 0 ? 1 : x < 0 ? -1 : x === 0 ? 0 : x),
    },
  ],
  add: [
    { what: "x + y", of: "xy", write: ({ x, y }) => add(x, y), means: (x, y) => x + y },
    { what: "x + s", of: "xs", write: ({ x, s }) => add(x, s), means: (x, _, s) => x + fround(s) },
  ],
  sub: [
    { what: "x − y", of: "xy", write: ({ x, y }) => sub(x, y), means: (x, y) => x - y },
    { what: "s − x", of: "xs", write: ({ x, s }) => sub(s, x), means: (x, _, s) => fround(s) - x },
  ],
  mul: [
    { what: "x × y", of: "xy", write: ({ x, y }) => mul(x, y), means: (x, y) => x * y },
    { what: "x × s", of: "xs", write: ({ x, s }) => mul(x, s), means: (x, _, s) => x * fround(s) },
  ],
  div: [
    { what: "x ÷ y", of: "xy", write: ({ x, y }) => div(x, y), means: (x, y) => x / y },
    { what: "s ÷ x", of: "xs", write: ({ x, s }) => div(s, x), means: (x, _, s) => fround(s) / x },
    // By the reciprocal, in float64 until the tensor meets it.
    { what: "x ÷ s", of: "xs", write: ({ x, s }) => div(x, s), means: (x, _, s) => x * fround(1 / s) },
  ],
  min: [
    {
      what: "min(x, y)",
      of: "xy",
      write: ({ x, y }) => min(x, y),
      means: (x, y) => Math.min(x, y),
      eitherZero: true,
    },
    // A tie is the tensor's, with the sign of its zero.
    {
      what: "min(x, s)",
      of: "xs",
      write: ({ x, s }) => min(x, s),
      means: (x, _, s) => (fround(s) < x ? fround(s) : x),
    },
  ],
  max: [
    {
      what: "max(x, y)",
      of: "xy",
      write: ({ x, y }) => max(x, y),
      means: (x, y) => Math.max(x, y),
      eitherZero: true,
    },
    {
      what: "max(x, s)",
      of: "xs",
      write: ({ x, s }) => max(x, s),
      means: (x, _, s) => (x < fround(s) ? fround(s) : x),
    },
  ],
  gt: [
    {
      what: "x > y",
      of: "xy",
      write: ({ x, y }) => select(gt(x, y), yes, no),
      means: (x, y) => (x > y ? yes : no),
    },
    {
      what: "x > s",
      of: "xs",
      write: ({ x, s }) => select(gt(x, s), yes, no),
      means: (x, _, s) => (x > fround(s) ? yes : no),
    },
  ],
  lt: [
    {
      what: "x < y",
      of: "xy",
      write: ({ x, y }) => select(lt(x, y), yes, no),
      means: (x, y) => (x < y ? yes : no),
    },
    {
      what: "x < s",
      of: "xs",
      write: ({ x, s }) => select(lt(x, s), yes, no),
      means: (x, _, s) => (x < fround(s) ? yes : no),
    },
  ],
  eq: [
    {
      what: "x = y",
      of: "xy",
      write: ({ x, y }) => select(eq(x, y), yes, no),
      means: (x, y) => (x === y ? yes : no),
    },
    {
      what: "x = s",
      of: "xs",
      write: ({ x, s }) => select(eq(x, s), yes, no),
      means: (x, _, s) => (x === fround(s) ? yes : no),
    },
  ],
  select: [
    {
      what: "y where x > 0, else −y",
      of: "xy",
      write: ({ x, y }) => select(gt(x, 0), y, neg(y)),
      means: (x, y) => (x > 0 ? y : -y),
    },
    // The side that is not taken may be NaN.
    {
      what: "√x where x > 0, else y",
      of: "xy",
      write: ({ x, y }) => select(gt(x, 0), sqrt(x), y),
      means: (x, y) => (x > 0 ? Math.sqrt(x) : y),
      orOfBoth: () => 0,
    },
    {
      what: "x where s > 0, else y",
      of: "xys",
      write: ({ x, y, s }) => select(gt(s, 0), x, y),
      means: (x, y, s) => (s > 0 ? x : y),
    },
  ],
};

export const operationTests: readonly KitTest[] = [
  ...Object.entries(forms).map(([operation, of]): KitTest => ({
    name: `operations: ${operation} of NaN, infinities, zeros of both signs, denormals and ties`,
    needs: ["rules"],
    async run(kit) {
      for (const form of of) await tryOut(kit, form);
    },
  })),
  {
    name: "operations: constants and scalars are rounded to float32 where a tensor meets them",
    needs: ["rules"],
    async run(kit) {
      // Neither is a float32 by its first digits: 0.1 is rounded up, and 1 + 2⁻²³ is the float32 after 1.
      const afterOne = 1 + 2 ** -23;
      const rule = ruleOf("constants", ({ x, s }) =>
        select(eq(x, 0.1), 3, select(eq(x, afterOne), 2, select(eq(x, s), 1, 0))),
      );
      const subject = kit.subject(rule({ s: 0.3 }), { w: [0.1, afterOne, 0.3, 1] });
      subject.train({ w: [0, 0, 0, 0] });
      await kit.expectParameters("update: which of them x equals", subject, { w: [3, 2, 1, 0] });
    },
  },
  {
    name: "operations: a norm is the root of the sum of squares, to the bit where the backend says so",
    needs: ["rules"],
    async run(kit) {
      const rule = ruleOf("norm", ({ x, y, s }) => add(mul(x, 0), sub(norm(y), s)));
      const gradient = new Float32Array(4097).fill(1);
      gradient[0] = 2 ** 27;
      const large = 2 ** 27;
      const subject = kit.subject(rule({ s: 0 }), { w: gradient.map(() => 0) });
      subject.train({ w: gradient });
      const { w = [] } = await subject.read();
      expectNumbers("update: norm", [w[0] as number], [large], kit.tolerance);
      if (kit.referenceTolerance !== "exact") return;
      // Element i is added to partial i mod 4. Partial 0 is 2⁵⁴, whose neighbours in float64 are 4 apart: each 1 that is added to it
      // is lost. The other three partials are 1024 each, and (0 + 1) + (2 + 3) keeps them: √(2⁵⁴ + 3 × 1024) − 2²⁷ = 1536 × 2⁻²⁷.
      const exact = kit.subject(rule({ s: large }), { w: gradient.map(() => 0) });
      exact.train({ w: gradient });
      const { w: rest = [] } = await exact.read();
      expectNumbers(
        "update: norm − 2²⁷, summed in float64 by four partials",
        [rest[0] as number],
        [Math.sqrt(2 ** 54 + 3072) - large],
        "exact",
      );
    },
  },
];

interface Hyperparameters extends BaseHyperparameters {
  lr: number;
  s: number;
}

function ruleOf(
  name: string,
  write: (operands: Operands) => Tensor,
): (h: { readonly s: number }) => UpdateRule<Hyperparameters> {
  return defineUpdateRule({
    name: `Operation ${name}`,
    hyperparameters: { lr: 1, s: 0 },
    update: ({ param, grad }, { s }) => ({ param: write({ x: param, y: grad, s }) }),
  });
}

/** All pairs of operands at once: the parameter is x, its gradient y. */
async function tryOut(
  kit: Kit,
  { what, of, write, means, orOfBoth, eitherZero = false }: Form,
): Promise<void> {
  const pairs = turns.flatMap((x) =>
    (of.includes("y") ? turns : [1]).map((y) => [fround(x), fround(y)] as const),
  );
  const rule = ruleOf(what, write);
  for (const s of of.includes("s") ? scalars : [0]) {
    const subject = kit.subject(rule({ s }), { w: pairs.map(([x]) => x) });
    subject.train({ w: pairs.map(([, y]) => y) });
    const { w = [] } = await subject.read();
    for (const [index, [x, y]] of pairs.entries()) {
      const received = w[index] as number;
      const open = isDenormal(x) || isDenormal(y) || (eitherZero && x === y && !Object.is(x, y));
      const allowed = (each: number): boolean => agrees(kit, received, fround(each), open);
      if (operandsOf(kit, x, y).some(([x, y]) => allowed(means(x, y, s)))) continue;
      if (kit.referenceTolerance !== "exact" && isDenormal(x) && orOfBoth && allowed(orOfBoth(x, y)))
        continue;
      const expected = fround(means(x, y, s));
      throw new Error(
        `update: ${what} of x = ${show(x)}, y = ${show(y)}, s = ${show(s)} expected ${show(expected)}, got ${show(received)}`,
      );
    }
  }
}

const smallestNormal = 2 ** -126;
const isDenormal = (x: number): boolean => x !== 0 && Math.abs(x) < smallestNormal;

/** Where results need not be exact, a denormal may be taken for a zero of its sign. */
function operandsOf(kit: Kit, x: number, y: number): readonly (readonly [x: number, y: number])[] {
  const given = (value: number): readonly number[] =>
    kit.referenceTolerance !== "exact" && isDenormal(value) ? [value, value < 0 ? -0 : 0] : [value];
  return given(x).flatMap((x) => given(y).map((y) => [x, y] as const));
}

/**
 * The sign of a zero counts unless it is `open`, where results need not be exact: a denormal operand may count as a zero there and still be
 * handed on as it is (min(2⁻¹⁴⁹, 0)), and a result up to the smallest normal may have become a zero.
 */
function agrees({ referenceTolerance }: Kit, received: number, expected: number, open: boolean): boolean {
  if (Object.is(received, expected)) return true;
  if (referenceTolerance === "exact" || !Number.isFinite(expected)) return false;
  if (expected === 0) return open && Math.abs(received) <= smallestNormal;
  if (Math.abs(expected) <= smallestNormal) return Math.abs(received) <= smallestNormal;
  return Math.abs(received - expected) <= referenceTolerance.relative * Math.abs(expected);
}

const show = (x: number): string => (Object.is(x, -0) ? "−0" : String(x));
