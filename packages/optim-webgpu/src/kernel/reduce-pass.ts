import type { ElementPass, Program, TensorReduction } from "@mm/optim-core/backend";
import {
  asVector,
  elementBindings,
  elementsFunctions,
  matricesOf,
  operandsOfReductions,
  type ParameterAccess,
  printElements,
  tileLoop,
  tileStart,
  vectorLoop,
} from "./elements.ts";
import { elementFunctions } from "./elementwise.ts";
import { header } from "./layout.ts";
import { foundFunctions, reductionFunctions, sumFunctions } from "./reduce.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

export type ReducePass = Extract<ElementPass, { readonly kind: "reduce" }>;

/** The reductions of a pass that give one number for the whole tensor, by number. */
export function perTensor({ reductions }: Program, pass: ReducePass): readonly number[] {
  return pass.reductions.filter((index) => reductions[index]?.per === "tensor");
}

/**
 * Measures what a pass reduces per tensor, a workgroup a tile, as `updateKernel`: one partial for each tile and reduction.
 *
 * Bindings: as those of `updateKernel`, all read-only, then normPartials (`header.normStride` partials a tile).
 */
export function reduceKernel(program: Program, pass: ReducePass, access: ParameterAccess): KernelSource {
  const numbers = perTensor(program, pass);
  const measures = numbers.map((index, place): Measure => {
    const reduction = program.reductions[index] as TensorReduction;
    const [a, b] = [asVector(program, reduction.a), asVector(program, reduction.b)];
    return { ...measureOf[reduction.kind](place, a, b), index, place };
  });
  const wanted = operandsOfReductions(program, numbers);
  const { scalars, vectors } = printElements(program, access, wanted);
  const each = (print: (measure: Measure) => string): string => measures.map(print).join("\n");
  const sums = numbers.some((index) => {
    const { kind } = program.reductions[index] as TensorReduction;
    return kind === "sum" || kind === "dot";
  });
  const turn = wgsl`
    ${vectors}
    ${each(({ add }) => add)}
  `;
  return kernel(
    `reduce ${program.label} ${access}`,
    [
      ...elementBindings(program, access, {
        written: "read-only-storage",
        read: matricesOf(program, pass),
      }),
      ["normPartials", "storage", "array<vec4u>"] as const,
    ],
    [
      reductionFunctions(),
      ...(sums ? [sumFunctions()] : []),
      elementFunctions(),
      ...elementsFunctions(program, access, "tile"),
      `var<workgroup> found: array<vec4u, ${64 * measures.length}>;`,
      foundFunctions(sums),
    ],
    wgsl`
      ${tileStart(program, scalars)}
      ${each(({ begin }) => begin)}
      for (var again = true; again;) {
        ${pass.axes === 3 ? tileLoop(program, wanted, turn) : vectorLoop(pass.axes, turn)}
        again = false;
        ${each(({ rescale }) => rescale)}
        if (again) { ${measures.map(({ restart }) => restart).join(" ")} }
      }
      ${each(({ place, partial }) => `found[${64 * place}u + thread] = ${partial};`)}
      workgroupBarrier();
      let first = (range.z + index) * table[${header.normStride}u];
      ${each(({ index, place, combine }) => `if (thread == ${place}u) { normPartials[first + ${index}u] = ${combine}; }`)}
    `,
  );
}

/** A reduction while a tile is measured: a thread first, then all of them. */
interface Measure extends Printed {
  readonly index: number;
  readonly place: number;
}

interface Printed {
  readonly begin: string;
  readonly add: string;
  /** Has the tile measured again, elements divided by a scale, where a sum leaves the range of float32. */
  readonly rescale: string;
  readonly restart: string;
  readonly partial: string;
  readonly combine: string;
}

const measureOf: {
  readonly [K in TensorReduction["kind"]]: (place: number, a: string, b: string) => Printed;
} = {
  norm: (r, a) => ({
    begin: `var largest${r} = vec4u(); var sum${r} = vec4f(); var scale${r} = 1f;`,
    add: wgsl`
      let x${r} = select(vec4f(), ${a}, own);
      largest${r} = max(largest${r}, sizeBits(x${r}));
      let y${r} = x${r} * inverseOf(scale${r});
      sum${r} += y${r} * y${r};
    `,
    rescale: wgsl`
      if (scale${r} == 1f && isNormal(largestOf(largest${r})) && !isUsable(sumOf(sum${r}))) {
        scale${r} = scaleOf(largestOf(largest${r}));
        again = true;
      }
    `,
    restart: `sum${r} = vec4f();`,
    partial: `partialOf(largestOf(largest${r}), scale${r}, sumOf(sum${r}))`,
    combine: `squaresIn(${64 * r}u)`,
  }),
  sum: (r, a) => ({
    begin: `var largest${r} = vec4u(); var sum${r} = vec4f(); var scale${r} = 1f;`,
    add: wgsl`
      let x${r} = select(vec4f(), ${a}, own);
      largest${r} = max(largest${r}, sizeBits(x${r}));
      sum${r} += x${r} * inverseOf(scale${r});
    `,
    rescale: wgsl`
      if (scale${r} == 1f && isFinite(largestOf(largest${r})) && exponentOf(largestOf(largest${r})) > 110) {
        scale${r} = scaleOf(largestOf(largest${r}));
        again = true;
      }
    `,
    restart: `sum${r} = vec4f();`,
    partial: `sumPartial(largestOf(largest${r}), exponentOf(bitcast<u32>(scale${r})), sumOf(sum${r}))`,
    combine: `sumIn(${64 * r}u)`,
  }),
  dot: (r, a, b) => ({
    begin: `var largest${r} = vec4u(); var other${r} = vec4u(); var sum${r} = vec4f(); var scale${r} = vec2f(1f);`,
    add: wgsl`
      let x${r} = select(vec4f(), ${a}, own);
      let y${r} = select(vec4f(), ${b}, own);
      largest${r} = max(largest${r}, sizeBits(x${r}));
      other${r} = max(other${r}, sizeBits(y${r}));
      sum${r} += (x${r} * inverseOf(scale${r}.x)) * (y${r} * inverseOf(scale${r}.y));
    `,
    rescale: wgsl`
      if (all(scale${r} == vec2f(1f)) && leavesRange(largestOf(largest${r}), largestOf(other${r}))) {
        scale${r} = vec2f(scaleOf(largestOf(largest${r})), scaleOf(largestOf(other${r})));
        again = true;
      }
    `,
    restart: `sum${r} = vec4f();`,
    partial: `sumPartial(max(largestOf(largest${r}), largestOf(other${r})), exponentOf(bitcast<u32>(scale${r}.x)) + exponentOf(bitcast<u32>(scale${r}.y)), sumOf(sum${r}))`,
    combine: `sumIn(${64 * r}u)`,
  }),
  largest: (r, a) => ({
    begin: `var largest${r} = vec4u();`,
    add: `largest${r} = max(largest${r}, sizeBits(select(vec4f(), ${a}, own)));`,
    rescale: "",
    restart: "",
    partial: `vec4u(largestOf(largest${r}), 0u, 0u, 0u)`,
    combine: `vec4u(sizeIn(${64 * r}u), 0u, 0u, 0u)`,
  }),
};
