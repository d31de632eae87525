import { expectNumbers } from "./assert.ts";
import { descent, type Kit, type KitTest, type WrappedSubject } from "./kit.ts";
import { noise, repeatable } from "./numbers.ts";

const powers = [0.5, 1, 1.5, 2, 3, 4, 8, 12, 20, Infinity];
const magnitudes = [1e-30, 1e-20, 1e-10, 1e-5, 1, 1e5, 1e10, 1e20, 1e30];

/** `w` is no multiple of what devices and kernels work through at a time, and of `b` most threads see nothing. */
const lengths = { w: 1_027, b: 10 };
type Name = keyof typeof lengths;
type Gradients = Readonly<Record<Name, Float32Array>>;

/** Ordinary gradients, of order 1. */
const patterns: Readonly<Record<string, () => Gradients>> = {
  dense: () => ({ w: noise(repeatable(1), lengths.w), b: noise(repeatable(2), lengths.b) }),
  alike: () => ({ w: new Float32Array(lengths.w).fill(1), b: new Float32Array(lengths.b).fill(1) }),
  // Whoever sums all but a few elements sees zeros only.
  sparse() {
    const w = new Float32Array(lengths.w);
    for (const at of [0, 600, lengths.w - 1]) w[at] = 1;
    return { w, b: new Float32Array(lengths.b) };
  },
  // Tensors that are a hundred thousand times apart: how much the small one counts depends on p.
  mixed: () => ({ w: noise(repeatable(3), lengths.w, 1e-5), b: noise(repeatable(4), lengths.b) }),
};

export const normTests: readonly KitTest[] = [
  ...powers.map((p): KitTest => ({
    name: `norms: p = ${nameOf(p)}, of dense, sparse and mixed gradients from 1e-30 to 1e30`,
    needs: ["transfer"],
    async run(kit) {
      const subject = clipping(kit, lengths, p);
      const zero = { w: new Float32Array(lengths.w), b: new Float32Array(lengths.b) };
      for (const [pattern, make] of Object.entries(patterns)) {
        const gradients = make();
        const norm = normOf(Object.values(gradients), p);
        for (const magnitude of magnitudes) {
          const scaled = { w: times(gradients.w, magnitude), b: times(gradients.b, magnitude) };
          await measure(kit, subject, scaled, norm * magnitude, `${pattern}, ${magnitude}`);
        }
      }
      await measure(kit, subject, zero, 0, "zero");
    },
  })),
  {
    name: "norms: p = 8 and p = 1.5, of more elements than a pass over a tensor takes at once",
    needs: ["transfer"],
    async run(kit) {
      const many = { w: Math.min(100_352, kit.capabilities.maxParameterLength), b: lengths.b };
      const gradients = { w: new Float32Array(many.w).fill(1e-5), b: new Float32Array(many.b).fill(1e-5) };
      for (const p of [8, 1.5]) {
        // n elements of one size: size × n^(1/p)
        const norm = 1e-5 * (many.w + many.b) ** (1 / p);
        await measure(kit, clipping(kit, many, p), gradients, norm, `p = ${p}`);
      }
    },
  },
];

function nameOf(p: number): string {
  return p === Infinity ? "inf" : String(p);
}

function clipping(kit: Kit, { w, b }: Readonly<Record<Name, number>>, p: number): WrappedSubject {
  const initials = { w: new Float32Array(w), b: new Float32Array(b) };
  return kit.wrapped(descent(), initials, { clipGrad: { maxNorm: 1, normType: p } });
}

const times = (values: Float32Array, by: number): Float32Array => values.map((value) => value * by);

/** Between these a float32 has all its digits: a norm outside of them cannot be asked for. */
const [smallest, largest] = [2 ** -126, 2 ** 127];

/**
 * A thousand float32 additions in any order are off by 1e-6 or so. Those of a p-th power are off by p times what its base is, and its
 * p-th root takes that back; below 1 the root multiplies what the sum is off by.
 */
const relative = 2e-5;

async function measure(
  kit: Kit,
  subject: WrappedSubject,
  gradients: Gradients,
  norm: number,
  what: string,
): Promise<void> {
  if (norm !== 0 && (norm < smallest || norm > largest)) return;
  const { b: given } = gradients;
  subject.optimizer.writeParameters({ b: new Float32Array(given.length) });
  subject.update(gradients);
  const { gradNorm = Number.NaN } = await subject.wrapper.readMetrics();
  expectNumbers(`clip: the norm, ${what}`, [gradNorm], [norm], { absolute: relative * norm, relative: 0 });
  // Clipped by it: PyTorch's coefficient, maxNorm ÷ (norm + 1e-6), at most 1.
  const coefficient = Math.min(1, 1 / (norm + 1e-6));
  const { b = [] } = await subject.read();
  const expected = times(given, -coefficient);
  const size = Math.max(...expected.map(Math.abs));
  expectNumbers(`clip: the step, ${what}`, b, expected, { absolute: relative * size, relative: 0 });
}

/** (Σ |g|ᵖ)^(1/p) in float64, of gradients that are at most 1. */
function normOf(gradients: readonly Float32Array[], p: number): number {
  if (p === Infinity) return Math.max(...gradients.flatMap((each) => [...each].map(Math.abs)));
  let sum = 0;
  for (const each of gradients) for (const value of each) sum += Math.abs(value) ** p;
  return sum ** (1 / p);
}
