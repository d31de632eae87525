import { header, record } from "./layout.ts";
import { pairFunctions } from "./pairs.ts";
import { kernel, type KernelSource } from "./source.ts";
import { wgsl } from "./wgsl.ts";

/** Words of a total in the table: where its terms are listed and how many, and the word of the sum, a pair. */
export const totalJob = { terms: 0, count: 1, sum: 2 } as const;
export const totalJobWords = 3;

/** Words of a term: the word of its record, and of what `evaluate` has left there, a pair. Of a record that is not live nothing is added. */
export const termWords = 2;

/**
 * Adds up numbers of all tensors of a rule, a workgroup a total.
 *
 * Bindings: table, range (of which the first word is that of the first total).
 */
export function totalsKernel(): KernelSource {
  return kernel(
    "totals",
    [
      ["table", "storage", "array<u32>"],
      ["range", "uniform", "vec4u"],
    ],
    [
      pairFunctions(),
      "var<workgroup> shares: array<vec2f, 64>;",
      "fn pairAt(word: u32) -> vec2f { return vec2f(bitcast<f32>(table[word]), bitcast<f32>(table[word + 1u])); }",
    ],
    wgsl`
      zero = table[${header.zero}u];
      let job = range.x + ${totalJobWords}u * group.x;
      let terms = table[job + ${totalJob.terms}u];
      let count = table[job + ${totalJob.count}u];
      var sum = vec2f();
      for (var i = thread; i < count; i += 64u) {
        let term = terms + ${termWords}u * i;
        if (table[table[term] + ${record.live}u] != 0u) { sum = add(sum, pairAt(table[term + 1u])); }
      }
      shares[thread] = sum;
      workgroupBarrier();
      if (thread != 0u) { return; }
      for (var i = 1u; i < 64u; i++) { sum = add(sum, shares[i]); }
      let at = table[job + ${totalJob.sum}u];
      table[at] = bitcast<u32>(sum.x);
      table[at + 1u] = bitcast<u32>(sum.y);
    `,
  );
}
