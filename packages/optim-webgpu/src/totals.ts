import type { Program } from "@mm/optim-core/backend";
import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import { termsAt, termWords, totalJob, totalJobWords, totalsKernel } from "./kernel/index.ts";
import type { Table } from "./table.ts";
import type { TotalsLayout } from "./total-layout.ts";
import { bindingAlignment, bufferUsage } from "./usage.ts";

/** The sums of a plan over all tensors of a rule: a dispatch for those that are as early as each other. */
export class Totals {
  readonly #kernel: Kernel;
  readonly #ranges: GPUBuffer;
  readonly #dispatches: readonly {
    readonly stage: number;
    readonly count: number;
    readonly group: GPUBindGroup;
  }[];

  constructor(
    device: Device,
    table: Table,
    totals: readonly TotalsLayout[],
    members: readonly { readonly program: Program }[],
  ) {
    this.#kernel = device.kernel(totalsKernel());
    const unit = bindingAlignment / 4;
    const words = new Uint32Array(unit * totals.length);
    const usage = bufferUsage.uniform | bufferUsage.copyTarget;
    this.#ranges = device.createBuffer("totals", words.byteLength, usage);
    this.#dispatches = totals.map(({ stage, jobs, totals: all }, index) => {
      words[unit * index] = jobs;
      for (const [each, { terms, list, sum }] of all.entries()) {
        const job = jobs + totalJobWords * each;
        table.words[job + totalJob.terms] = list;
        table.words[job + totalJob.count] = terms.length;
        table.words[job + totalJob.sum] = sum;
        for (const [at, { index: member, place }] of terms.entries()) {
          const { program } = members[member] as (typeof members)[number];
          const record = table.recordAt(member);
          table.words.set([record, record + termsAt(program) + 2 * place], list + termWords * at);
        }
      }
      const range = { buffer: this.#ranges, offset: bindingAlignment * index, size: 16 };
      const group = device.bind(this.#kernel, [{ buffer: table.buffer }, range]);
      return { stage, count: all.length, group };
    });
    device.gpu.queue.writeBuffer(this.#ranges, 0, words);
  }

  record(pass: GPUComputePassEncoder, stage: number): void {
    for (const { stage: at, count, group } of this.#dispatches) {
      if (at !== stage) continue;
      pass.setPipeline(this.#kernel.pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(count);
    }
  }

  destroy(): void {
    this.#ranges.destroy();
  }
}
