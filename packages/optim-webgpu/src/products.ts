import type { Device } from "./device.ts";
import type { Kernel } from "./device-queue.ts";
import { dims, dimsWords, type ProductKind, productKernel, productTile } from "./kernel/index.ts";
import { type ProductLayout, workBytes } from "./product-layout.ts";
import type { Table } from "./table.ts";
import { bindingAlignment, bufferUsage } from "./usage.ts";

interface Product {
  readonly kernel: Kernel;
  readonly group: GPUBindGroup;
  readonly width: number;
  readonly height: number;
}

interface Routine {
  readonly layout: ProductLayout;
  readonly products: readonly Product[];
}

/** The products of a plan's matrix routines: three dispatches a Newton–Schulz step, for all matrices of one shape. */
export class Products {
  readonly #routines: readonly Routine[];
  readonly #work: GPUBuffer;
  readonly #dims: GPUBuffer;

  constructor(device: Device, table: Table, layouts: readonly ProductLayout[]) {
    const bytes = layouts.map(({ rows, cols, indices }) => indices.length * workBytes(rows, cols));
    this.#work = device.createBuffer("products", Math.max(0, ...bytes));
    const steps = layouts.reduce((sum, { coefficients }) => sum + coefficients.length, 0);
    const words = new Uint32Array((bindingAlignment / 4) * Math.max(1, steps));
    const usage = bufferUsage.uniform | bufferUsage.copyTarget;
    this.#dims = device.createBuffer("product dims", words.byteLength, usage);
    const kernels = Object.fromEntries(
      (["gram", "square", "apply"] as const).map((kind) => [kind, device.kernel(productKernel(kind))]),
    ) as { readonly [K in ProductKind]: Kernel };
    let at = 0;
    this.#routines = layouts.map((layout) => {
      const products = layout.coefficients.flatMap((triple, step) => {
        writeDims(layout, triple, words, (bindingAlignment / 4) * at);
        const binding = { buffer: this.#dims, offset: bindingAlignment * at, size: 4 * dimsWords };
        at += 1;
        return this.#stepOf(device, table, kernels, layout, step, binding);
      });
      return { layout, products };
    });
    device.gpu.queue.writeBuffer(this.#dims, 0, words);
    for (const { indices, starts, jobs } of layouts) {
      for (const [place, index] of indices.entries()) {
        table.words.set([table.recordAt(index), starts[place] as number], jobs + 2 * place);
      }
    }
  }

  /** @param isActive whether any of these members takes part in the step */
  record(
    pass: GPUComputePassEncoder,
    stage: number,
    isActive: (indices: readonly number[]) => boolean,
  ): void {
    for (const { layout, products } of this.#routines) {
      if (layout.stage !== stage || !isActive(layout.indices)) continue;
      for (const { kernel, group, width, height } of products) {
        pass.setPipeline(kernel.pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(width, height, layout.indices.length);
      }
    }
  }

  destroy(): void {
    this.#work.destroy();
    this.#dims.destroy();
  }

  /** The three products of one step. The last step ends in the first vector of the matrix. */
  #stepOf(
    device: Device,
    table: Table,
    kernels: { readonly [K in ProductKind]: Kernel },
    { room, rows, cols, coefficients }: ProductLayout,
    step: number,
    dimsBinding: GPUBufferBinding,
  ): readonly Product[] {
    const isLastOrEven = (coefficients.length - step) % 2 === 1;
    const [after, before] = isLastOrEven ? room : [room[1], room[0]];
    const work = { buffer: this.#work };
    const rest = [{ buffer: table.buffer }, dimsBinding];
    const short = Math.ceil(Math.min(rows, cols) / productTile);
    const long = Math.ceil(Math.max(rows, cols) / productTile);
    const product = (kind: ProductKind, width: number, bindings: readonly GPUBufferBinding[]): Product => ({
      kernel: kernels[kind],
      group: device.bind(kernels[kind], [...bindings, ...rest]),
      width,
      height: short,
    });
    return [
      product("gram", short, [{ buffer: before.buffer }, work]),
      product("square", short, [work]),
      product("apply", long, [{ buffer: before.buffer }, work, { buffer: after.buffer }]),
    ];
  }
}

function writeDims(
  { rows, cols, jobs }: ProductLayout,
  [a, b, c]: ProductLayout["coefficients"][number],
  words: Uint32Array,
  at: number,
): void {
  const isTall = rows > cols;
  words[at + dims.m] = Math.min(rows, cols);
  words[at + dims.n] = Math.max(rows, cols);
  words[at + dims.rowStride] = isTall ? 1 : cols;
  words[at + dims.colStride] = isTall ? cols : 1;
  words[at + dims.jobs] = jobs;
  new Float32Array(words.buffer).set([a, b, c], at + dims.a);
}
